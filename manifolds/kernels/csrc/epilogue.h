// Elementary functions in float32 that host and device share: branch-free, so that they vectorise
// under `#pragma omp simd`, and free of libm. Errors in units of the last place (ulp) of the
// result, measured against mpmath by tests/manifolds/kernels/test_epilogue.py:
//
//     log1p 1.5   log 1.5   exp 1.5   acosh1p 2.5   asinh 2.5   asin 2.5   atan2 2.5   sin 2
//
// Polynomials: minimax in relative error over the reduced interval, at most 0.1 ulp each.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define GC_HD static __host__ __device__ __forceinline__
#define GC_MEMBER __host__ __device__ __forceinline__
#else
#include <cmath>
#include <cstring>
#define GC_HD static inline __attribute__((always_inline))
#define GC_MEMBER inline __attribute__((always_inline))
#endif

GC_HD int32_t gc_bits(float x) {
#if defined(__CUDA_ARCH__)
    return __float_as_int(x);
#else
    int32_t i;
    memcpy(&i, &x, 4);
    return i;
#endif
}

GC_HD float gc_float(int32_t i) {
#if defined(__CUDA_ARCH__)
    return __int_as_float(i);
#else
    float x;
    memcpy(&x, &i, 4);
    return x;
#endif
}

// a b + c in one rounding where the machine has it; the host compiler contracts it.
GC_HD float gc_fma(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
    return __fmaf_rn(a, b, c);
#else
    return a * b + c;
#endif
}

GC_HD float gc_sqrt(float x) {
#if defined(__CUDA_ARCH__)
    return __fsqrt_rn(x);
#else
    return __builtin_sqrtf(x);
#endif
}

GC_HD float gc_abs(float x) { return x < 0 ? -x : x; }

// 2^k by the exponent's bits; a shift of unsigned bits, which vectorises and never overflows.
GC_HD float gc_exponent(uint32_t k) { return gc_float((int32_t)((k + 127u) << 23)); }

#define GC_LN2_HI 0.693145752f      // 15 bits: k GC_LN2_HI is exact
#define GC_LN2_LO 1.42860677e-6f
#define GC_ROUND 12582912.0f        // 1.5 2^23: adding it rounds to an integer
#define GC_HALF_PI 1.57079637f
#define GC_HALF_PI_LO -4.37113883e-8f
#define GC_PI 3.14159274f
#define GC_PI_LO -8.74227766e-8f

// log(2^k (1 + f)), f in [sqrt(1/2) - 1, sqrt(2) - 1].
GC_HD float gc_log_reduced(float k, float f) {
    float p = -0.0763449296f;
    p = gc_fma(p, f, 0.12761575f);
    p = gc_fma(p, f, -0.131601825f);
    p = gc_fma(p, f, 0.142017588f);
    p = gc_fma(p, f, -0.166233569f);
    p = gc_fma(p, f, 0.200012267f);
    p = gc_fma(p, f, -0.250008196f);
    p = gc_fma(p, f, 0.333333313f);
    p = gc_fma(p, f, -0.5f);
    float low = gc_fma(p, f * f, k * GC_LN2_LO);
    return gc_fma(k, GC_LN2_HI, f + low);
}

// log(1 + t) for 0 <= t < 2^126. 1 + t is never rounded: its exponent k scales t and 1 apart.
GC_HD float gc_log1p(float t) {
    int32_t k = (gc_bits(1.0f + t) - 0x3f3504f3) >> 23;
    float scale = gc_exponent(0u - (uint32_t)k);
    return gc_log_reduced((float)k, gc_fma(t, scale, scale - 1.0f));
}

// log(x) for normal x below 2^126.
GC_HD float gc_log(float x) {
    int32_t k = (gc_bits(x) - 0x3f3504f3) >> 23;
    return gc_log_reduced((float)k, x * gc_exponent(0u - (uint32_t)k) - 1.0f);
}

// exp(x) = scale (1 + p) for -87 <= x <= 88, by x = k log 2 + r, |r| <= log(2) / 2.
GC_HD void gc_exp_parts(float x, float& scale, float& p) {
    float shifted = gc_fma(x, 1.44269502f, GC_ROUND);
    float k = shifted - GC_ROUND;
    float r = gc_fma(k, -GC_LN2_LO, gc_fma(k, -GC_LN2_HI, x));
    float q = 0.000198458802f;
    q = gc_fma(q, r, 0.00139406545f);
    q = gc_fma(q, r, 0.00833338965f);
    q = gc_fma(q, r, 0.0416663624f);
    q = gc_fma(q, r, 0.166666657f);
    q = gc_fma(q, r, 0.5f);
    p = gc_fma(q * r, r, r);
    scale = gc_exponent((uint32_t)gc_bits(shifted) - (uint32_t)gc_bits(GC_ROUND));
}

// Below this exp is a true 0: denormal weights slow the matrix product after them by 10 and more.
#define GC_EXP_CUTOFF -70.0f

// exp(x), 0 for x < -70, for x <= 88.
GC_HD float gc_exp(float x) {
    float scale, p;
    gc_exp_parts(x < GC_EXP_CUTOFF ? GC_EXP_CUTOFF : x, scale, p);
    return x < GC_EXP_CUTOFF ? 0.0f : gc_fma(scale, p, scale);
}

// e = exp(-x) and q = 1 - exp(-x), both to full relative accuracy, for x >= 0; e = exp(-87) beyond.
GC_HD void gc_exp_minus(float x, float& e, float& q) {
    float scale, p;
    gc_exp_parts(x > 87.0f ? -87.0f : -x, scale, p);
    q = gc_fma(-scale, p, 1.0f - scale);
    e = gc_fma(scale, p, scale);
}

// arcosh(1 + u) for 0 <= u < 2^124; small u keep their digits.
GC_HD float gc_acosh1p(float u) {
    float top = u + 2.0f, root = gc_sqrt(u * top);
    return gc_log1p(u + (root < top ? root : top));  // u (u + 2) overflows beyond 1.8e19
}

// asinh(s) for 0 <= s < 1e19; also where s^2 underflows.
GC_HD float gc_asinh(float s) {
    float s2 = s * s;
    return gc_log1p(s + s2 / (1.0f + gc_sqrt(1.0f + s2)));
}

// asin(sqrt(z)) for 0 <= z <= 1, given z and root = sqrt(z).
GC_HD float gc_asin_root(float z, float root) {
    bool outer = z > 0.25f;
    // asin(s) = pi/2 - 2 asin(sqrt((1 - s) / 2)); 1 - s from 1 - z, which is exact here.
    float inner = 0.5f * (1.0f - z) / (1.0f + root);
    float b2 = outer ? inner : z;
    float b = outer ? gc_sqrt(inner) : root;
    float p = 0.0421663076f;
    p = gc_fma(p, b2, 0.0241795164f);
    p = gc_fma(p, b2, 0.0454703756f);
    p = gc_fma(p, b2, 0.0749529749f);
    p = gc_fma(p, b2, 0.166667521f);
    p = gc_fma(p * b2, b, b);
    return outer ? gc_fma(-2.0f, p, GC_HALF_PI_LO) + GC_HALF_PI : p;
}

// Angle of the vector (x, y) in [0, pi], for y >= 0; 0 at (0, 0).
GC_HD float gc_atan2(float y, float x) {
    float ax = gc_abs(x);
    bool steep = y > ax;
    float top = steep ? ax : y, bottom = steep ? y : ax;
    float t = bottom == 0.0f ? 0.0f : top / bottom;
    float z = t * t;
    float p = -0.00179362029f;
    p = gc_fma(p, z, 0.0109145995f);
    p = gc_fma(p, z, -0.0311778337f);
    p = gc_fma(p, z, 0.0579575822f);
    p = gc_fma(p, z, -0.0840344951f);
    p = gc_fma(p, z, 0.109521858f);
    p = gc_fma(p, z, -0.142642424f);
    p = gc_fma(p, z, 0.199985489f);
    p = gc_fma(p, z, -0.333332986f);
    float r = gc_fma(p * z, t, t);
    r = steep ? GC_HALF_PI - (r - GC_HALF_PI_LO) : r;
    return x < 0.0f ? GC_PI - (r - GC_PI_LO) : r;
}

// sin(t) and cos(t) for 0 <= t <= pi/2; cos to an absolute 1 ulp of 1.
GC_HD void gc_sincos(float t, float& s, float& c) {
    float z = t * t;
    float p = -2.38889086e-08f;
    p = gc_fma(p, z, 2.75253842e-06f);
    p = gc_fma(p, z, -0.000198408685f);
    p = gc_fma(p, z, 0.00833333097f);
    p = gc_fma(p, z, -0.166666672f);
    s = gc_fma(p * z, t, t);
    p = -2.6077106e-07f;
    p = gc_fma(p, z, 2.47618864e-05f);
    p = gc_fma(p, z, -0.00138884038f);
    p = gc_fma(p, z, 0.0416666418f);
    p = gc_fma(p, z, -0.5f);
    c = gc_fma(p, z, 1.0f);
}
