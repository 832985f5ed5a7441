// Row terms of the pairwise kernels: norms in float64, the common centre, scaled centred features,
// and the last step of the gradients.
#include <vector>

#include "rows.h"
#include "threads.h"

namespace {

constexpr int64_t BLOCK = 32;  // rows that stay in cache between two passes

// body(side, begin, end, thread) over the rows of both sides, in one go for the threads.
template <class Body>
void both_sides(const Problem& p, int64_t threads, const Body& body) {
    const int64_t n = p.x.n;
    shares(n + p.y.n, threads, [&](int64_t begin, int64_t end, int64_t me) {
        if (begin < n) body(p.x, begin, end < n ? end : n, me);
        if (end > n) body(p.y, begin > n ? begin - n : 0, end - n, me);
    });
}

}  // namespace

GC_CLONES void gc_norms(const Problem& p, const Side& s, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
        const float* x = s.points + i * s.ld;
        double total = 0;
#pragma omp simd reduction(+ : total)
        for (int64_t k = 0; k < p.d; ++k) total += (double)x[k] * (double)x[k];
        s.exact[NORM * s.n + i] = __builtin_sqrt(total);
        s.exact[SCALE * s.n + i] = row_scale(p, total);
    }
}

GC_CLONES void gc_center(const Problem& p, const Side& s, int64_t begin, int64_t end, double* sum) {
    for (int64_t i = begin; i < end; ++i) {
        const float* x = s.points + i * s.ld;
        double norm = s.exact[NORM * s.n + i];
        if (!row_counts(p, norm, s.exact[SCALE * s.n + i])) continue;
        const double factor = row_factor(p, norm);
#pragma omp simd
        for (int64_t k = 0; k < p.d; ++k) sum[k] += factor * (double)x[k];
        sum[p.d] += factor * norm * factor * norm;
    }
}

GC_CLONES void gc_scaled(const Problem& p, const Side& s, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
        const float* x = s.points + i * s.ld;
        float* out = s.scaled + i * p.d;
        const double norm = s.exact[NORM * s.n + i], factor = row_factor(p, norm);
        const RowTerms terms = row_terms(p, norm, s.exact[SCALE * s.n + i]);
        const double alpha = terms.alpha;
        double total = 0;
#pragma omp simd reduction(+ : total)
        for (int64_t k = 0; k < p.d; ++k) {
            double centred = factor * (double)x[k] - p.center[k];
            total += centred * centred;
            out[k] = (float)(alpha * centred);
        }
        fill_table(s, i, terms, total);
    }
}

// gradient = first (x' weight - v) + second x in float64, with x' the centred feature and, on the
// sphere, its part along x taken off; v comes in `gradient` and is replaced.
GC_CLONES void gc_finish(const Problem& p, const Side& s, int64_t begin, int64_t end,
                         const double* weight, const double* extra, float* gradient) {
    for (int64_t i = begin; i < end; ++i) {
        const float* x = s.points + i * s.ld;
        float* v = gradient + i * p.d;
        const double norm = s.exact[NORM * s.n + i], factor = row_factor(p, norm);
        const RowGradient terms = row_gradient(p, norm, s.exact[SCALE * s.n + i], extra[i]);
        const double first = terms.first;
        double second = terms.second;
        if (p.kind == SPHERE) {
            const double unit = factor;
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

// Fills exact of both sides; adds their features, and the squares of their lengths, to sum (d + 1).
GC_EXPORT int manifolds_measure(const Problem* p, double* sum, int64_t threads) {
    const int64_t size = p->d + 1;
    std::vector<double> sums(threads * size, 0.0);
    both_sides(*p, threads, [&](const Side& s, int64_t begin, int64_t end, int64_t me) {
        for (int64_t from = begin; from < end; from += BLOCK) {
            const int64_t to = end < from + BLOCK ? end : from + BLOCK;
            gc_norms(*p, s, from, to);
            gc_center(*p, s, from, to, sums.data() + me * size);
        }
    });
    for (int64_t t = 0; t < threads; ++t)
        for (int64_t k = 0; k < size; ++k) sum[k] += sums[t * size + k];
    return 0;
}

// Fills table and scaled of both sides, once `center` is known.
GC_EXPORT int manifolds_prepare(const Problem* p, int64_t threads) {
    both_sides(*p, threads, [&](const Side& s, int64_t begin, int64_t end, int64_t) {
        gc_scaled(*p, s, begin, end);
    });
    return 0;
}

// Turns v_x (x.n, d) and v_y (y.n, d) into the gradients at the points; either may be null. x_sums,
// y_sums: their sums of weights, then of extras.
GC_EXPORT int manifolds_finish(const Problem* p, const double* x_sums, float* v_x,
                               const double* y_sums, float* v_y, int64_t threads) {
    both_sides(*p, threads, [&](const Side& s, int64_t begin, int64_t end, int64_t) {
        const double* sums = &s == &p->x ? x_sums : y_sums;
        float* v = &s == &p->x ? v_x : v_y;
        if (v != nullptr) gc_finish(*p, s, begin, end, sums, sums + s.n, v);
    });
    return 0;
}
