// Gradient weights of all pairs from distances, with their row and column sums; then the gradients
// of close pairs, from differences, once by rows and once by columns.
#include <cmath>
#include <vector>

#include "direct.h"
#include "threads.h"

namespace {

constexpr int64_t TILE = 2048;  // columns at a time: the prefetcher does not follow short rows
constexpr int64_t BLOCK = 32;   // rows summed in float32 before they go to float64
constexpr int64_t STRIPE = 64;  // columns whose close pairs are collected together

// Sums over rows and columns, float64: weight * alpha of the other side, and "extra" (lorentz:
// weight sinh(rx - ry), its sign flipped for columns; poincare: g tanh(D/2)).
struct Sums {
    double *x_weight, *x_extra;  // (rows)
    double *y_weight, *y_extra;  // (m), of one thread
    double curvature;            // sum of what d d/dc takes from the pairs
    int64_t close;
};

template <int KIND, bool CURVATURE>
GC_INLINE void backward_block(const Problem& p, int64_t first, int64_t begin, int64_t end,
                              const float* dist, int64_t ld, const float* grad, int64_t ldg,
                              float* weights, int64_t ldw, Sums& sums) {
    const float close = (float)p.close, unscale = (float)(1.0 / distance_scale(p));
    const Columns x(p.x), y(p.y);
    const int64_t m = p.y.n;
    float col_weight[TILE], col_extra[TILE];
    for (int64_t low = begin; low < end; low += BLOCK) {
        const int64_t high = end < low + BLOCK ? end : low + BLOCK;
        for (int64_t from = 0; from < m; from += TILE) {
            const int64_t count = m < from + TILE ? m - from : TILE;
            for (int64_t j = 0; j < count; ++j) col_weight[j] = col_extra[j] = 0;
            for (int64_t i = low; i < high; ++i) {
                const int64_t at = first + i;
                const float xa = x.alpha[at], xp = x.alpha_p[at], xr = x.radial[at], xl = x.low[at],
                            xf = x.other[at], xh = x.sech[at];
                const float *ya = y.alpha + from, *yp = y.alpha_p + from, *yr = y.radial + from,
                            *yl = y.low + from, *yf = y.other + from, *yh = y.sech + from;
                const float *d = dist + i * ld + from, *g = grad + i * ldg + from;
                float* w = weights + i * ldw + from;
                float row_weight = 0, row_extra = 0, by_c = 0, moved = 0;
                int bad = 0;
#pragma omp simd reduction(+ : row_weight, row_extra, by_c, moved, bad)
                for (int64_t j = 0; j < count; ++j) {
                    float weight, half, total = gc_total(xa, xp, ya[j], yp[j]);
                    bool fine = gc_apart<KIND>(unscale * d[j], total, close);
                    gc_slope<KIND>(unscale * d[j], g[j], weight, half);
                    // A NaN marks a close pair until manifolds_backward_close has been there.
                    w[j] = fine ? weight : __builtin_nanf("");
                    bad += fine ? 0 : 1;
                    weight = fine ? weight : 0.0f;
                    half = fine ? half : 0.0f;
                    row_weight += weight * ya[j];
                    col_weight[j] += weight * xa;
                    if constexpr (KIND == LORENTZ) {
                        float apart = gc_difference(xr, xl, yr[j], yl[j]);
                        float sinh = gc_radial_sinh(apart, xf, yf[j]);
                        row_extra += weight * sinh;
                        col_extra[j] -= weight * sinh;
                        if constexpr (CURVATURE)
                            by_c += half - weight * gc_times(apart, xf, xh, yf[j], yh[j]);
                    }
                    if constexpr (KIND == POINCARE) {
                        row_extra += half;
                        col_extra[j] += half;
                    }
                    if constexpr (CURVATURE) moved += d[j] * g[j];
                }
                sums.x_weight[i] += row_weight;
                if (Is<KIND>::hyperbolic) sums.x_extra[i] += row_extra;
                if (CURVATURE)
                    sums.curvature += by_c / (p.c * std::sqrt(p.c)) - moved / (2 * p.c);
                sums.close += bad;
            }
            for (int64_t j = 0; j < count; ++j) sums.y_weight[from + j] += col_weight[j];
            if (Is<KIND>::hyperbolic)
                for (int64_t j = 0; j < count; ++j) sums.y_extra[from + j] += col_extra[j];
        }
    }
}

}  // namespace

GC_CLONES void gc_backward(const Problem& p, int64_t curvature, int64_t first, int64_t begin,
                           int64_t end, const float* dist, int64_t ld, const float* grad,
                           int64_t ldg, float* weights, int64_t ldw, Sums& sums) {
#define GC_BLOCK(K, C) \
    backward_block<K, C>(p, first, begin, end, dist, ld, grad, ldg, weights, ldw, sums)
#define GC_CALL(K) curvature ? GC_BLOCK(K, true) : GC_BLOCK(K, false)
    GC_SWITCH(p.kind, GC_CALL)
#undef GC_BLOCK
#undef GC_CALL
}

// Weights (rows, y.n) of the gradient products from distances and their gradients, for the rows
// from `first` on; close pairs are left as NaN. Adds to the sums x_* (rows), columns (threads, 2, y.n:
// weights and extras, each thread's own until all rows are through), *by_c (if `curvature`) and *close.
GC_EXPORT int manifolds_backward(const Problem* p, int64_t curvature, int64_t first, int64_t rows,
                                 const float* dist, int64_t ld, const float* grad, int64_t ldg,
                                 float* weights, int64_t ldw, double* x_weight, double* x_extra,
                                 double* columns, double* by_c, int64_t* close, int64_t threads) {
    const int64_t m = p->y.n;
    std::vector<Sums> sums(threads);
    shares(rows, threads, [&](int64_t begin, int64_t end, int64_t me) {
        double* mine = columns + 2 * m * me;
        sums[me] = Sums{x_weight, x_extra, mine, mine + m, 0.0, 0};
        gc_backward(*p, curvature, first, begin, end, dist, ld, grad, ldg, weights, ldw, sums[me]);
    });
    for (int64_t t = 0; t < threads; ++t) {
        *by_c += sums[t].curvature;
        *close += sums[t].close;
    }
    return 0;
}

// Takes the close pairs (NaN) of `weights` out of the products and into v_x (rows, d), v_y (y.n, d)
// and the extra sums: v -= their weighted differences. Either v may be null. *close: their number.
GC_EXPORT int manifolds_backward_close(const Problem* p, int64_t curvature, int64_t first,
                                       int64_t rows, const float* grad, int64_t ldg,
                                       float* weights, int64_t ldw, float* v_x, double* x_extra,
                                       float* v_y, double* y_extra, double* by_c,
                                       const int64_t* close, int64_t threads) {
    if (*close == 0) return 0;
    const int64_t m = p->y.n, d = p->d;
    std::vector<double> totals(threads, 0.0);
    shares(rows, threads, [&](int64_t begin, int64_t end, int64_t me) {
        std::vector<float> partial(d), unused(v_x ? 0 : d);
        std::vector<int64_t> js(CHUNK);
        std::vector<float> gs(CHUNK);
        for (int64_t i = begin; i < end; ++i) {
            const float* w = weights + i * ldw;
            int64_t held = 0;
            for (int64_t j = 0; j <= m; ++j) {
                if (j < m && w[j] != w[j]) {
                    js[held] = j;
                    gs[held++] = grad[i * ldg + j];
                }
                if (held == CHUNK || (j == m && held > 0)) {
                    gc_pull(*p, p->x, first + i, p->y, js.data(), gs.data(), held, curvature != 0,
                            v_x ? v_x + i * d : unused.data(), x_extra + i, &totals[me],
                            partial.data());
                    held = 0;
                }
            }
        }
    });
    for (double total : totals) *by_c += total;
    const int64_t stripes = (m + STRIPE - 1) / STRIPE;
    if (v_y != nullptr)
        shares(stripes, threads, [&](int64_t begin, int64_t end, int64_t) {
            std::vector<float> partial(d);
            std::vector<std::vector<int64_t>> lists(STRIPE);
            std::vector<float> gs(CHUNK);
            double unused = 0;
            for (int64_t stripe = begin; stripe < end; ++stripe) {
                const int64_t from = stripe * STRIPE, to = m < from + STRIPE ? m : from + STRIPE;
                for (auto& list : lists) list.clear();
                for (int64_t i = 0; i < rows; ++i)
                    for (int64_t j = from; j < to; ++j)
                        if (weights[i * ldw + j] != weights[i * ldw + j])
                            lists[j - from].push_back(i);
                for (int64_t j = from; j < to; ++j) {
                    std::vector<int64_t>& is = lists[j - from];
                    for (size_t at = 0; at < is.size(); at += CHUNK) {
                        const int64_t left = (int64_t)(is.size() - at);
                        const int64_t k = left < CHUNK ? left : (int64_t)CHUNK;
                        for (int64_t r = 0; r < k; ++r) gs[r] = grad[is[at + r] * ldg + j];
                        for (int64_t r = 0; r < k; ++r) is[at + r] += first;
                        gc_pull(*p, p->y, j, p->x, is.data() + at, gs.data(), k, false, v_y + j * d,
                                y_extra + j, &unused, partial.data());
                    }
                }
            }
        });
    shares(rows, threads, [&](int64_t begin, int64_t end, int64_t) {
        for (int64_t i = begin; i < end; ++i)
            for (int64_t j = 0; j < m; ++j)
                if (weights[i * ldw + j] != weights[i * ldw + j]) weights[i * ldw + j] = 0;
    });
    return 0;
}
