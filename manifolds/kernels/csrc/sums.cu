// Sums of a tile's logits over rows and columns on a device (patches.h).
#include "patches.h"

namespace {

template <int FUNCTION>
struct Logits {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, Block p) {
        const Patch patch(t.block(), p.rows, p.columns);
        const float factor = (float)p.factor, bias = (float)p.bias;
        int close = 0;
        const int64_t column = patch.column + t.warp() * STEP + t.lane();
        for (int64_t i = patch.row; i < patch.row_end; ++i)
            for (int v = 0; v < SPAN; ++v) {
                const int64_t j = column + 32 * v;
                if (j >= patch.column_end) continue;
                const Scored s = scored<FUNCTION>(p, i, j, p.a[i], p.b[j],
                                                  p.product[i * p.product_ld + j]);
                close += s.close;
                p.out[i * p.out_ld + j] =
                    s.out ? -GC_INFINITY : gc_fma(factor, s.score, bias);
            }
        close = t.sum(close);
        if (t.lane() == 0 && close > 0) t.count(p.close, close);
    }
};

struct RepairLogits {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, Block p) {
        if (!repairs(p).open()) return;
        const Patch patch(t.block(), p.rows, p.columns);
        for (int64_t i = patch.row + t.warp(); i < patch.row_end; i += WARPS)
            gc_row_marks(t, i, patch.column, patch.column_end, marks_of(p, -GC_INFINITY),
                         [&](int64_t j) {
                             const Form f =
                                 gc_form(t, p.space, p.x + i * p.d, p.y + j * p.d, p.d, p.c);
                             const double score = near_score(p.function, f.u, f.v);
                             if (t.lane() == 0)
                                 p.out[i * p.out_ld + j] = (float)(p.factor * score + p.bias);
                         });
    }
};

template <bool SOFTPLUS>
struct Reduce {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, Block p, Parts parts) {
        GC_SHARED(float, tops, WARPS * HEIGHT);
        GC_SHARED(float, sums, WARPS * HEIGHT);
        const Patch patch(t.block(), p.rows, p.columns);
        const int64_t column = patch.column + t.warp() * STEP + t.lane();
        float column_top[SPAN], column_sum[SPAN];
        for (int v = 0; v < SPAN; ++v) column_top[v] = -GC_INFINITY, column_sum[v] = 0;
        for (int64_t i = patch.row; i < patch.row_end; ++i) {
            float top = -GC_INFINITY;
            for (int v = 0; v < SPAN; ++v) {
                const int64_t j = column + 32 * v;
                if (j >= patch.column_end) continue;
                const float l = p.out[i * p.out_ld + j];
                top = l > top ? l : top;
                column_top[v] = l > column_top[v] ? l : column_top[v];
            }
            top = t.max(top);
            if (t.lane() == 0) tops[t.warp() * HEIGHT + (i - patch.row)] = top;
        }
        t.sync();
        for (int64_t i = patch.row; i < patch.row_end; ++i) {
            float base = -GC_INFINITY, sum = 0;
            for (int w = 0; w < WARPS; ++w) {
                const float top = tops[w * HEIGHT + (i - patch.row)];
                base = top > base ? top : base;
            }
            base = base == -GC_INFINITY ? 0.0f : base;
            for (int v = 0; v < SPAN; ++v) {
                const int64_t j = column + 32 * v;
                if (j >= patch.column_end) continue;
                const float l = p.out[i * p.out_ld + j];
                if constexpr (SOFTPLUS) {
                    sum += (l > 0.0f ? l : 0.0f) + gc_log1p(gc_exp(-gc_abs(l)));
                } else {
                    sum += gc_exp(l - base);
                    column_sum[v] +=
                        gc_exp(l - (column_top[v] == -GC_INFINITY ? 0.0f : column_top[v]));
                }
            }
            sum = t.sum(sum);
            if (t.lane() == 0) sums[t.warp() * HEIGHT + (i - patch.row)] = sum;
        }
        t.sync();
        const int line = t.index();
        if (line < HEIGHT && patch.row + line < patch.row_end) {
            float top = -GC_INFINITY, sum = 0;
            for (int w = 0; w < WARPS; ++w) {
                const float other = tops[w * HEIGHT + line];
                top = other > top ? other : top;
                sum += sums[w * HEIGHT + line];
            }
            parts.row_top[patch.at_column * p.rows + patch.row + line] = top;
            parts.row_sum[patch.at_column * p.rows + patch.row + line] = sum;
        }
        if constexpr (!SOFTPLUS)
            for (int v = 0; v < SPAN; ++v) {
                const int64_t j = column + 32 * v;
                if (j >= patch.column_end) continue;
                parts.column_top[patch.at_row * p.columns + j] = column_top[v];
                parts.column_sum[patch.at_row * p.columns + j] = column_sum[v];
            }
    }
};

// The parts of a line (count, lines) into its maximum and sum; `highest` is the tile's own.
template <bool SOFTPLUS>
struct Merge {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, const float* tops, const float* sums, int64_t count,
                       int64_t lines, double* top, double* sum, double* highest, Gate gate) {
        const int64_t line = t.block() * THREADS + t.index();
        if (line >= lines || !gate.open()) return;
        double high = -(double)GC_INFINITY, own_top = top[line], own_sum = sum[line];
        for (int64_t k = 0; k < count; ++k) {
            const double part = (double)tops[k * lines + line];
            high = part > high ? part : high;
            if constexpr (SOFTPLUS)
                own_sum += (double)sums[k * lines + line];
            else
                gc_merge(own_top, own_sum, part, (double)sums[k * lines + line]);
        }
        if constexpr (!SOFTPLUS) top[line] = own_top;
        sum[line] = own_sum;
        highest[line] = high;
    }
};

template <bool SOFTPLUS>
int merge(const Block& p, const Parts& parts, double* row_top, double* row_sum, double* column_top,
          double* column_sum, double* tile_row_top, double* tile_column_top, const Place* place) {
    const Gate gate{p.close, 0, p.limit};
    const int64_t up = gc_ceil(p.rows, HEIGHT), across = gc_ceil(p.columns, WIDTH);
    GC_TRY(gc_launch<Reduce<SOFTPLUS>>(up * across, place, p, parts));
    const float *tops = parts.row_top, *sums = parts.row_sum;
    GC_TRY(gc_launch<Merge<SOFTPLUS>>(gc_ceil(p.rows, 128), place, tops, sums, across, p.rows,
                                      row_top, row_sum, tile_row_top, gate));
    if (SOFTPLUS) return 0;
    tops = parts.column_top, sums = parts.column_sum;
    return gc_launch<Merge<SOFTPLUS>>(gc_ceil(p.columns, 128), place, tops, sums, up, p.columns,
                                      column_top, column_sum, tile_column_top, gate);
}

}  // namespace

// As manifolds_sums_forward of the host, close pairs included.
GC_EXPORT int manifolds_sums_forward(const Block* block, double* row_top, double* row_sum,
                                     double* column_top, double* column_sum,
                                     double* tile_row_top, double* tile_column_top,
                                     const Place* place) {
    const Block& p = *block;
    const int64_t patches = gc_patches(p.rows, p.columns);
    Work work(place);
    const Parts parts = parts_of(work, p, true);
    if (!work.enough()) return GC_NO_WORK;
    int status = 0;
#define GC_CALL(F) status = gc_launch<Logits<F>>(patches, place, p)
    GC_FUNCTIONS(p.function, GC_CALL)
#undef GC_CALL
    GC_TRY(status);
    GC_TRY(gc_launch<RepairLogits>(patches, place, p));
    return p.softplus ? merge<true>(p, parts, row_top, row_sum, column_top, column_sum,
                                    tile_row_top, tile_column_top, place)
                      : merge<false>(p, parts, row_top, row_sum, column_top, column_sum,
                                     tile_row_top, tile_column_top, place);
}
