// Row terms of the pairwise kernels: norms in float64, the common centre, scaled centred features,
// and the last step of the gradients.
#include <vector>

#include "sides.h"

namespace {

constexpr int64_t BLOCK = 32;  // rows that stay in cache between two passes

}  // namespace

GC_CLONES void gc_norms(const Problem& p, const Side& s, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
        const float* x = s.points + i * s.ld;
        double total = 0;
#pragma omp simd reduction(+ : total)
        for (int64_t k = 0; k < p.d; ++k) total += (double)x[k] * (double)x[k];
        s.exact[NORM * s.n + i] = __builtin_sqrt(total);
        const int64_t geometry = geometry_of(p.kind);
        double scale = 1.0;
        if (geometry == LORENTZ) scale = __builtin_sqrt(1.0 + p.c * total);
        if (geometry == POINCARE) {
            scale = 1.0 - p.c * total;
            if (!(scale > 0)) scale = __builtin_nan("");
        }
        s.exact[SCALE * s.n + i] = scale;
    }
}

GC_CLONES void gc_center(const Problem& p, const Side& s, int64_t begin, int64_t end, double* sum) {
    const bool polar = is_polar(p.kind);
    for (int64_t i = begin; i < end; ++i) {
        const float* x = s.points + i * s.ld;
        double norm = s.exact[NORM * s.n + i], scale = s.exact[SCALE * s.n + i];
        // A bad row makes its own results NaN, not the centre.
        if (!(norm < 1e300) || !(scale < 1e300) || (polar && norm == 0)) continue;
        double factor = polar ? 1.0 / norm : 1.0;
#pragma omp simd
        for (int64_t k = 0; k < p.d; ++k) sum[k] += factor * (double)x[k];
    }
}

GC_CLONES void gc_scaled(const Problem& p, const Side& s, int64_t begin, int64_t end) {
    const bool polar = is_polar(p.kind);
    double root_c = __builtin_sqrt(p.c);
    for (int64_t i = begin; i < end; ++i) {
        const float* x = s.points + i * s.ld;
        float* out = s.scaled + i * p.d;
        double norm = s.exact[NORM * s.n + i], scale = s.exact[SCALE * s.n + i];
        double alpha = 1.0, sinh = root_c * norm, cosh = scale;
        if (p.kind == POINCARE_ANGLE) {
            sinh = 2.0 * root_c * norm / scale;
            cosh = (2.0 - scale) / scale;
        }
        if (p.kind == EUCLIDEAN_ANGLE) sinh = norm;
        if (p.kind == LORENTZ) alpha = sinh * 0.70710678118654752;
        if (p.kind == POINCARE) alpha = root_c * 1.41421356237309505 / scale;
        double factor = polar ? (norm == 0 ? 0.0 : 1.0 / norm) : 1.0, total = 0;
#pragma omp simd reduction(+ : total)
        for (int64_t k = 0; k < p.d; ++k) {
            double centred = factor * (double)x[k] - p.center[k];
            total += centred * centred;
            out[k] = (float)(alpha * centred);
        }
        s.table[ALPHA * s.n + i] = (float)alpha;
        s.table[ALPHA_P * s.n + i] = (float)(alpha * total);
        float high = (float)sinh;
        s.table[SINH * s.n + i] = high;
        s.table[SINH_LOW * s.n + i] = (float)(sinh - (double)high);
        s.table[COSH * s.n + i] = (float)cosh;
    }
}

// gradient = first (x' weight - v) + second x in float64, with x' the centred feature and, on the
// sphere, its part along x taken off; v comes in `gradient` and is replaced.
GC_CLONES void gc_finish(const Problem& p, const Side& s, int64_t begin, int64_t end,
                         const double* weight, const double* extra, float* gradient) {
    const bool polar = is_polar(p.kind);
    double root_c = __builtin_sqrt(p.c);
    for (int64_t i = begin; i < end; ++i) {
        const float* x = s.points + i * s.ld;
        float* v = gradient + i * p.d;
        double norm = s.exact[NORM * s.n + i], scale = s.exact[SCALE * s.n + i];
        double unit = norm == 0 ? 0.0 : 1.0 / norm, factor = polar ? unit : 1.0;
        double first = 1.0, second = 0.0;
        if (p.kind == EUCLIDEAN2) first = 2.0;
        if (p.kind == LORENTZ) {
            first = 1.41421356237309505;
            second = extra[i] / scale * unit;
        }
        if (p.kind == POINCARE) {
            first = 2.0 * 1.41421356237309505 / scale;
            second = 2.0 * root_c * extra[i] / scale;
        }
        if (p.kind == SPHERE) {
            first = unit / root_c;
            double along = 0;
#pragma omp simd reduction(+ : along)
            for (int64_t k = 0; k < p.d; ++k)
                along += unit * (double)x[k] *
                         ((unit * (double)x[k] - p.center[k]) * weight[i] - (double)v[k]);
            second = -first * along * unit;
        }
        double w = weight[i];
#pragma omp simd
        for (int64_t k = 0; k < p.d; ++k) {
            double centred = factor * (double)x[k] - p.center[k];
            v[k] = (float)(first * (centred * w - (double)v[k]) + second * (double)x[k]);
        }
    }
}

// Fills exact, adds the side's features to sum (d) for the centre.
GC_EXPORT int manifolds_measure(const Problem* p, int64_t which, double* sum) {
    const Side& s = which ? p->y : p->x;
    std::vector<double> sums(p->threads * p->d, 0.0);
    shares(s.n, p->threads, [&](int64_t begin, int64_t end, int64_t me) {
        for (int64_t from = begin; from < end; from += BLOCK) {
            const int64_t to = end < from + BLOCK ? end : from + BLOCK;
            gc_norms(*p, s, from, to);
            gc_center(*p, s, from, to, sums.data() + me * p->d);
        }
    });
    for (int64_t t = 0; t < p->threads; ++t)
        for (int64_t k = 0; k < p->d; ++k) sum[k] += sums[t * p->d + k];
    return 0;
}

// Fills table and scaled, once `center` is known.
GC_EXPORT int manifolds_prepare(const Problem* p, int64_t which) {
    const Side& s = which ? p->y : p->x;
    shares(s.n, p->threads,
           [&](int64_t begin, int64_t end, int64_t) { gc_scaled(*p, s, begin, end); });
    return 0;
}

// Turns v (n, d) into the gradient at the points of a side; weight, extra: its row sums.
GC_EXPORT int manifolds_finish(const Problem* p, int64_t which, const double* weight,
                               const double* extra, float* gradient) {
    const Side& s = which ? p->y : p->x;
    shares(s.n, p->threads, [&](int64_t begin, int64_t end, int64_t) {
        gc_finish(*p, s, begin, end, weight, extra, gradient);
    });
    return 0;
}
