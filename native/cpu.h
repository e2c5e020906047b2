#ifndef BITLAB_CPU_H
#define BITLAB_CPU_H

namespace bitlab {

// What this machine and its operating system let a program use.
bool has_avx2();        // and FMA
bool has_avxvnni();     // and AVX2, FMA
bool has_avx512vnni();  // and AVX-512 F, BW, DQ, VL
bool has_avx512vbmi();  // and AVX-512 VNNI
bool has_neon();
bool has_neon_dotprod();
bool has_neon_i8mm();  // and the dot product

}  // namespace bitlab

#endif
