#ifndef BITLAB_CPU_H
#define BITLAB_CPU_H

namespace bitlab {

// What this machine and its operating system let a program use.
bool has_avx2();        // and FMA
bool has_avx512vnni();  // and AVX-512 F, BW, DQ, VL

}  // namespace bitlab

#endif
