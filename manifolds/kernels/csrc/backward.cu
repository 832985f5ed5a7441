// Gradient weights of all pairs on a device, with their row and column sums in two stages; then the
// gradients of close pairs, from differences, once by rows and once by columns (marks.h).
#include "marks.h"
#include "single.h"

namespace {

// Where the patches leave their sums. Rows: (patches across, rows); columns: (patches up, columns).
struct Parts {
    float *x_weight, *x_extra, *y_weight, *y_extra;
    double* totals;  // one a patch
};

// The share of the patch's rows and columns that a warp has summed goes into `parts`.
template <int KIND, bool CURVATURE>
struct Backward {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, Problem p, int64_t first, int64_t rows, const float* dist,
                       int64_t ld, const float* grad, int64_t ldg, float* weights, int64_t ldw,
                       Parts parts, int64_t* close_pairs) {
        GC_SHARED(float, row_sums, 2 * WARPS * HEIGHT);
        GC_SHARED(double, shares, WARPS);
        const Patch patch(t.block(), rows, p.y.n);
        const float close = (float)p.close, unscale = (float)(1.0 / distance_scale(p));
        const int64_t column = patch.column + t.warp() * STEP + t.lane();
        Terms ys[SPAN];
        float y_weight[SPAN], y_extra[SPAN];
        for (int v = 0; v < SPAN; ++v) {
            ys[v] = terms_of(p.y, column + 32 * v < patch.column_end ? column + 32 * v : 0);
            y_weight[v] = y_extra[v] = 0;
        }
        double moved = 0, by_c = 0;
        int bad = 0;
        for (int64_t i = patch.row; i < patch.row_end; ++i) {
            const Terms x = terms_of(p.x, first + i);
            float row_weight = 0, row_extra = 0, row_moved = 0, row_c = 0;
            for (int v = 0; v < SPAN; ++v) {
                const int64_t j = column + 32 * v;
                if (j >= patch.column_end) continue;
                const float d = dist[i * ld + j], g = grad[i * ldg + j];
                const Terms& y = ys[v];
                const float t2 = gc_total(x.alpha, x.alpha_p, y.alpha, y.alpha_p);
                float weight, half;
                const bool fine = gc_apart<KIND>(unscale * d, t2, close);
                gc_slope<KIND>(unscale * d, g, weight, half);
                weight = fine ? weight : 0.0f;
                half = fine ? half : 0.0f;
                row_weight += weight * y.alpha;
                y_weight[v] += weight * x.alpha;
                if constexpr (KIND == LORENTZ) {
                    const float apart = gc_difference(x.radial, x.low, y.radial, y.low);
                    const float sinh = gc_radial_sinh(apart, x.other, y.other);
                    const float radial = weight * sinh;
                    row_extra += radial;
                    y_extra[v] -= radial;
                    if constexpr (CURVATURE) {
                        const float part =
                            weight * gc_times(apart, x.other, x.sech, y.other, y.sech);
                        row_c += half - part;
                    }
                }
                if constexpr (KIND == POINCARE) {
                    row_extra += half;
                    y_extra[v] += half;
                }
                row_moved += d * g;
                // A NaN marks a close pair until manifolds_backward_close has been there.
                weights[i * ldw + j] = fine ? weight : gc_float(0x7fc00000);
                bad += fine ? 0 : 1;
            }
            moved += (double)row_moved;
            by_c += (double)row_c;
            row_weight = t.sum(row_weight);
            if constexpr (Is<KIND>::hyperbolic) row_extra = t.sum(row_extra);
            if (t.lane() == 0) {
                float* sums = row_sums + t.warp() * HEIGHT + (i - patch.row);
                sums[0] = row_weight;
                sums[WARPS * HEIGHT] = row_extra;
            }
        }
        for (int v = 0; v < SPAN; ++v) {
            const int64_t j = column + 32 * v;
            if (j >= patch.column_end) continue;
            parts.y_weight[patch.at_row * p.y.n + j] = y_weight[v];
            parts.y_extra[patch.at_row * p.y.n + j] = y_extra[v];
        }
        bad = t.sum(bad);
        if (t.lane() == 0 && bad > 0) t.count(close_pairs, bad);
        double total = t.sum(CURVATURE ? by_c / (p.c * std::sqrt(p.c)) - moved / (2 * p.c)
                                       : -moved / (2 * p.c));
        if (t.lane() == 0) shares[t.warp()] = total;
        t.sync();
        const int line = t.index() % HEIGHT;
        if (t.index() < 2 * HEIGHT && patch.row + line < patch.row_end) {
            const float* sums = row_sums + t.index() / HEIGHT * (WARPS * HEIGHT) + line;
            float sum = 0;
            for (int w = 0; w < WARPS; ++w) sum += sums[w * HEIGHT];
            float* out = t.index() < HEIGHT ? parts.x_weight : parts.x_extra;
            out[patch.at_column * rows + patch.row + line] = sum;
        }
        if (t.index() == 0) {
            total = 0;
            for (int w = 0; w < WARPS; ++w) total += shares[w];
            parts.totals[t.block()] = total;
        }
    }
};

struct Marked {
    const float* weights;
    int64_t ld;
    GC_MEMBER bool operator()(int64_t i, int64_t j) const {
        const float w = weights[i * ld + j];
        return w != w;
    }
};

// v -= along t of the pair of row i of side a and row j of side b; extra and by_c of lane 0.
GC_DEVICE void pull_pair(const Thread& t, const Problem& p, const Side& a, int64_t i, const Side& b,
                    int64_t j, float g, float* v, double& extra, double& by_c) {
    const Near q = gc_single(t, p, a, i, b, j);
    const double nx = a.exact[NORM * a.n + i], fx = a.exact[SCALE * a.n + i];
    const double ny = b.exact[NORM * b.n + j], fy = b.exact[SCALE * b.n + j];
    const Pull pull = gc_direct_slope(p, q, g, nx, fx, ny, fy);
    if (p.kind == LORENTZ) extra += pull.radial;
    if (p.kind == POINCARE) extra += pull.half;
    if (p.kind == LORENTZ) {
        const double root_c = std::sqrt(p.c), both = root_c * (nx + ny);
        const double time = fx + fy == 0 ? 0.0 : root_c * q.n * both / (fx + fy);
        by_c += (pull.half - 0.5 * pull.weight * time * time / (fx * fy)) / (p.c * root_c);
    }
    if (v == nullptr) return;
    const float *x = a.points + i * a.ld, *y = b.points + j * b.ld;
    double in_x, in_y;
    wide_ratios(is_polar(p.kind), q, nx, ny, in_x, in_y);
    for (int64_t k = t.lane(); k < p.d; k += 32)
        v[k] -= (float)(pull.along * wide_t(x[k], (double)q.sign * y[k], in_x, in_y));
}

struct PullRows {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, Problem p, int64_t first, int64_t rows, const float* grad,
                       int64_t ldg, const float* weights, int64_t ldw, float* v, double* extra,
                       double* by_c, const int64_t* close) {
        const int64_t i = t.block() * WARPS + t.warp();
        if (i >= rows || *close == 0) return;
        double more = 0, total = 0;
        gc_row_marks(t, i, 0, p.y.n, Marked{weights, ldw}, [&](int64_t j) {
            pull_pair(t, p, p.x, first + i, p.y, j, grad[i * ldg + j],
                 v != nullptr ? v + i * p.d : nullptr, more, total);
        });
        if (t.lane() != 0) return;
        extra[i] += more;
        by_c[i] = total;
    }
};

struct PullColumns {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, Problem p, int64_t first, int64_t rows, const float* grad,
                       int64_t ldg, const float* weights, int64_t ldw, float* v, double* extra,
                       const int64_t* close) {
        if (*close == 0) return;
        gc_column_marks(t, rows, p.y.n, t.block() * 32, Marked{weights, ldw},
                        [&](int64_t i, int64_t j) {
                            double more = 0, unused = 0;
                            pull_pair(t, p, p.y, j, p.x, first + i, grad[i * ldg + j], v + j * p.d,
                                 more, unused);
                            if (t.lane() == 0) extra[j] += more;
                        });
    }
};

struct Clear {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, int64_t rows, int64_t columns, float* weights, int64_t ldw,
                       const int64_t* close) {
        if (*close == 0) return;
        const Patch patch(t.block(), rows, columns);
        for (int64_t i = patch.row; i < patch.row_end; ++i)
            for (int64_t j = patch.column + t.index(); j < patch.column_end; j += THREADS) {
                float& w = weights[i * ldw + j];
                if (w != w) w = 0.0f;
            }
    }
};

}  // namespace

GC_EXPORT int manifolds_backward(const Problem* p, int64_t curvature, int64_t first, int64_t rows,
                                 const float* dist, int64_t ld, const float* grad, int64_t ldg,
                                 float* weights, int64_t ldw, double* x_weight, double* x_extra,
                                 double* columns, double* by_c, int64_t* close,
                                 const Place* place) {
    const int64_t m = p->y.n, up = gc_ceil(rows, HEIGHT), across = gc_ceil(m, WIDTH);
    Work work(place);
    Parts parts;
    parts.x_weight = work.take<float>(across * rows);
    parts.x_extra = work.take<float>(across * rows);
    parts.y_weight = work.take<float>(up * m);
    parts.y_extra = work.take<float>(up * m);
    parts.totals = work.take<double>(up * across);
    if (!work.enough()) return GC_NO_WORK;
    int status = 0;
#define GC_LAUNCH(K, C)                                                                        \
    status = gc_launch<Backward<K, C>>(up * across, place, *p, first, rows, dist, ld, grad, ldg, \
                                       weights, ldw, parts, close)
#define GC_CALL(K) GC_LAUNCH(K, false)
    if (p->kind == LORENTZ && curvature)
        GC_LAUNCH(LORENTZ, true);
    else
        GC_SWITCH(p->kind, GC_CALL)
#undef GC_CALL
#undef GC_LAUNCH
    GC_TRY(status);
    GC_TRY(add_parts<float>(place, parts.x_weight, across, rows, x_weight, gc_always()));
    GC_TRY(add_parts<float>(place, parts.y_weight, up, m, columns, gc_always()));
    if (p->kind == LORENTZ || p->kind == POINCARE) {
        GC_TRY(add_parts<float>(place, parts.x_extra, across, rows, x_extra, gc_always()));
        GC_TRY(add_parts<float>(place, parts.y_extra, up, m, columns + m, gc_always()));
    }
    return gc_launch<AddTotals>(1, place, (const double*)parts.totals, up * across, by_c,
                                gc_always());
}

// Either v may be null; nothing happens where *close, known on the device, is 0.
GC_EXPORT int manifolds_backward_close(const Problem* p, int64_t curvature, int64_t first,
                                       int64_t rows, const float* grad, int64_t ldg,
                                       float* weights, int64_t ldw, float* v_x, double* x_extra,
                                       float* v_y, double* y_extra, double* by_c,
                                       const int64_t* close, const Place* place) {
    const int64_t m = p->y.n;
    const float* marked = weights;
    Work work(place);
    double* totals = work.take<double>(rows);
    if (!work.enough()) return GC_NO_WORK;
    GC_TRY(gc_launch<PullRows>(gc_ceil(rows, WARPS), place, *p, first, rows, grad, ldg, marked,
                               ldw, v_x, x_extra, totals, close));
    if (curvature)
        GC_TRY(gc_launch<AddTotals>(1, place, (const double*)totals, rows, by_c,
                                    Gate{close, 1, INT64_MAX}));
    if (v_y != nullptr)
        GC_TRY(gc_launch<PullColumns>(gc_ceil(m, 32), place, *p, first, rows, grad, ldg, marked,
                                      ldw, v_y, y_extra, close));
    return gc_launch<Clear>(gc_patches(rows, m), place, rows, m, weights, ldw, close);
}
