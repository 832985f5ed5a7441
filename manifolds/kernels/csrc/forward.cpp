// Matrix products to distances, in place, with close pairs computed from differences.
#include <vector>

#include "direct.h"
#include "threads.h"

namespace {

// Columns whose terms stay in the first cache while the rows of a block pass over them.
constexpr int64_t TILE = 1024;

// Fills close entries (marked -1) of row i, columns [from, to). Returns their number.
static int64_t repair_row(const Problem& p, int64_t i, int64_t from, int64_t to, float* row,
                             float scale) {
    int64_t js[CHUNK], held = 0, count = 0;
    Near near[CHUNK];
    for (int64_t j = from; j <= to; ++j) {
        if (j < to && row[j] == -1.0f) js[held++] = j;
        if (held == CHUNK || (j == to && held > 0)) {
            gc_direct(p, p.x, i, p.y, js, held, near);
            for (int64_t m = 0; m < held; ++m)
                row[js[m]] = (float)((double)scale * gc_direct_value(p, near[m], i, js[m]));
            count += held;
            held = 0;
        }
    }
    return count;
}

template <int KIND>
GC_INLINE int64_t forward_block(const Problem& p, int64_t first, int64_t begin, int64_t end,
                                float* out, int64_t ld) {
    const float close = (float)p.close, scale = (float)distance_scale(p);
    const Columns x(p.x), y(p.y);
    const int64_t m = p.y.n;
    int64_t repaired = 0;
    for (int64_t from = 0; from < m; from += TILE) {
        const int64_t to = m < from + TILE ? m : from + TILE;
        for (int64_t i = begin; i < end; ++i) {
            const int64_t at = first + i;
            const float xa = x.alpha[at], xp = x.alpha_p[at], xr = x.radial[at], xl = x.low[at],
                        xf = x.other[at];
            const float *ya = y.alpha, *yp = y.alpha_p, *yr = y.radial, *yl = y.low, *yf = y.other;
            float* row = out + i * ld;
            int bad = 0;
#pragma omp simd reduction(+ : bad)
            for (int64_t j = from; j < to; ++j) {
                float total = gc_total(xa, xp, ya[j], yp[j]);
                float q = gc_fma(-2.0f, row[j], total);
                if constexpr (KIND == LORENTZ)
                    q = gc_add_radial(q, gc_difference(xr, xl, yr[j], yl[j]), xf, yf[j]);
                bool fine = gc_resolved<KIND>(q, total, close);
                row[j] = fine ? scale * gc_value<KIND>(q) : -1.0f;
                bad += fine ? 0 : 1;
            }
            if (bad) repaired += repair_row(p, first + i, from, to, row, scale);
        }
    }
    return repaired;
}

GC_INLINE int64_t angle_block(const Problem& p, int64_t first, int64_t begin, int64_t end,
                              float* out, int64_t ld) {
    const float close = (float)p.close;
    const Columns x(p.x), y(p.y);
    const int64_t m = p.y.n;
    int64_t repaired = 0;
    for (int64_t from = 0; from < m; from += TILE) {
        const int64_t to = m < from + TILE ? m : from + TILE;
        for (int64_t i = begin; i < end; ++i) {
            const int64_t at = first + i;
            const float xa = x.alpha[at], xp = x.alpha_p[at], xs = x.radial[at], xl = x.low[at],
                        xc = x.other[at];
            const float *ya = y.alpha, *yp = y.alpha_p, *ys = y.radial, *yl = y.low, *yc = y.other;
            float* row = out + i * ld;
            int bad = 0;
#pragma omp simd reduction(+ : bad)
            for (int64_t j = from; j < to; ++j) {
                float total = gc_total(xa, xp, ya[j], yp[j]);
                float q = gc_fma(-2.0f, row[j], total);
                float apart = gc_difference(xs, xl, ys[j], yl[j]), reach = ys[j] * xc;
                float sinh = gc_angle_sinh(apart, xs, xc, ys[j], yc[j]);
                bool fine = gc_resolved<SPHERE>(q, total, close) & (reach < GC_Q_MAX) &
                            (xs * yc[j] < GC_Q_MAX) & (xs > GC_Q_MIN) & (ys[j] > GC_Q_MIN);
                float angle = gc_angle(q, reach, ys[j], sinh);
                row[j] = fine ? angle : -1.0f;
                bad += fine ? 0 : 1;
            }
            if (bad) repaired += repair_row(p, at, from, to, row, 1.0f);
        }
    }
    return repaired;
}

}  // namespace

GC_CLONES int64_t gc_forward(const Problem& p, int64_t first, int64_t begin, int64_t end,
                             float* out, int64_t ld) {
#define GC_CALL(K) return forward_block<K>(p, first, begin, end, out, ld)
    if (is_angle(p.kind)) return angle_block(p, first, begin, end, out, ld);
    GC_SWITCH(p.kind, GC_CALL)
#undef GC_CALL
    return 0;
}

// out (rows, y.n), rows `ld` apart: <scaled x, scaled y> of the rows from `first` on, replaced by
// distances. *repaired grows by the number of pairs computed from differences.
GC_EXPORT int manifolds_forward(const Problem* p, int64_t first, int64_t rows, float* out,
                                int64_t ld, int64_t* repaired, int64_t threads) {
    std::vector<int64_t> counts(threads, 0);
    shares(rows, threads, [&](int64_t begin, int64_t end, int64_t me) {
        counts[me] = gc_forward(*p, first, begin, end, out, ld);
    });
    for (int64_t count : counts) *repaired += count;
    return 0;
}
