// The functions of epilogue.h over arrays: what the tests hold against mpmath.
#include "abi.h"
#include "epilogue.h"

namespace {

template <int F>
GC_INLINE void apply(const float* x, const float* y, float* out, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
        float a, b;
        if constexpr (F == 0) out[i] = gc_log1p(x[i]);
        if constexpr (F == 1) out[i] = gc_log(x[i]);
        if constexpr (F == 2) out[i] = gc_exp(x[i]);
        if constexpr (F == 3) {
            gc_exp_minus(x[i], a, b);
            out[i] = b;
        }
        if constexpr (F == 4) out[i] = gc_acosh1p(x[i]);
        if constexpr (F == 5) out[i] = gc_asinh(x[i]);
        if constexpr (F == 6) out[i] = gc_asin_root(x[i], gc_sqrt(x[i]));
        if constexpr (F == 7) out[i] = gc_atan2(y[i], x[i]);
        if constexpr (F == 8) {
            gc_sincos(x[i], a, b);
            out[i] = a;
        }
        if constexpr (F == 9) {
            gc_sincos(x[i], a, b);
            out[i] = b;
        }
    }
}

}  // namespace

GC_CLONES int gc_elementary(int64_t f, const float* x, const float* y, float* out, int64_t n) {
    switch (f) {
        case 0: apply<0>(x, y, out, n); return 0;
        case 1: apply<1>(x, y, out, n); return 0;
        case 2: apply<2>(x, y, out, n); return 0;
        case 3: apply<3>(x, y, out, n); return 0;
        case 4: apply<4>(x, y, out, n); return 0;
        case 5: apply<5>(x, y, out, n); return 0;
        case 6: apply<6>(x, y, out, n); return 0;
        case 7: apply<7>(x, y, out, n); return 0;
        case 8: apply<8>(x, y, out, n); return 0;
        case 9: apply<9>(x, y, out, n); return 0;
        default: return 1;
    }
}

// f: 0 log1p, 1 log, 2 exp, 3 1 - exp(-x), 4 arcosh(1 + x), 5 asinh, 6 asin(sqrt(x)),
// 7 atan2(y, x), 8 sin, 9 cos.
GC_EXPORT int manifolds_elementary(int64_t f, const float* x, const float* y, float* out,
                                   int64_t n) {
    return gc_elementary(f, x, y, out, n);
}
