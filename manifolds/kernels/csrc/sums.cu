// Tiles of pairwise logits (scores.h) on a device: sums over rows and columns, and the weights of
// the backward products. A tile takes these passes, none of which waits for the host:
//
//     forward    logits in place, close pairs marked and counted; marks replaced by logits from
//                differences; log sum exp of every patch; patches merged into the lines
//     backward   weights in place with sums of every patch, close pairs marked; patches added;
//                gradients of close pairs by rows and by columns; marks set to 0
//
// Marks are -inf in logits, inf in weights. A tile with more close pairs than `limit` adds nothing
// and has weights 0: the caller looks at the counts once, at its end. Patches are summed in float32
// and added in float64 in a fixed order.
#include "marks.h"
#include "scores.h"
#include "warp.h"

namespace {

// Form and score of a pair; whether it is one of the sums: neither close nor partners.
struct Scored {
    float u, score;
    bool close, out;
};

template <int FUNCTION>
GC_DEVICE Scored scored(const Block& p, int64_t i, int64_t j, float a, float b, float product) {
    const float base = gc_fma(p.coupled ? 1.0f + a : 1.0f, b, a);
    const float u = gc_fma(-(float)p.k, product, base);
    const bool partner = j == p.partner + i;
    Scored s;
    s.close = !partner && gc_close(u, base, (float)p.share, (float)p.far);
    s.out = partner || s.close;
    s.u = s.out ? 1.0f : u;
    s.score = gc_score<FUNCTION>(s.u);
    return s;
}

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

GC_DEVICE Gate repairs(const Block& p) { return Gate{p.close, 1, p.limit}; }

struct Marks {
    const float* out;
    int64_t ld, partner;
    float mark;
    GC_MEMBER bool operator()(int64_t i, int64_t j) const {
        return out[i * ld + j] == mark && j != partner + i;
    }
};

GC_DEVICE Marks marks_of(const Block& p, float mark) {
    return Marks{p.out, p.out_ld, p.partner, mark};
}

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

// Where the patches leave their sums. Rows: (patches across, rows); columns: (patches up, columns).
struct Parts {
    float *row_top, *row_sum, *column_top, *column_sum;
    double* totals;  // (2, patches)
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

struct Lines {
    const float *row_base, *row_grad, *column_base, *column_grad;
};

template <int FUNCTION, bool SOFTPLUS>
struct Slopes {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, Block p, Lines lines, Parts parts) {
        GC_SHARED(float, levels, WARPS * HEIGHT);
        GC_SHARED(double, shares, 2 * WARPS);
        const Patch patch(t.block(), p.rows, p.columns);
        const float factor = (float)p.factor, bias = (float)p.bias, h = p.coupled ? 1.0f : 0.0f;
        const int64_t column = patch.column + t.warp() * STEP + t.lane();
        float column_level[SPAN];
        for (int v = 0; v < SPAN; ++v) column_level[v] = 0;
        double factor_sum = 0, weight_sum = 0;
        int close = 0;
        for (int64_t i = patch.row; i < patch.row_end; ++i) {
            const float a = p.a[i], row_base = lines.row_base[i], row_grad = lines.row_grad[i];
            float level = 0, by_factor = 0, by_bias = 0;
            for (int v = 0; v < SPAN; ++v) {
                const int64_t j = column + 32 * v;
                if (j >= patch.column_end) continue;
                const float b = p.b[j];
                const Scored s =
                    scored<FUNCTION>(p, i, j, a, b, p.product[i * p.product_ld + j]);
                float weight;
                if constexpr (SOFTPLUS) {
                    const float l = gc_fma(factor, s.score, bias), e = gc_exp(-gc_abs(l));
                    weight = row_grad * ((l > 0.0f ? 1.0f : e) / (1.0f + e));
                } else {
                    const float scaled = factor * s.score;
                    weight = row_grad * gc_exp(scaled + row_base) +
                             lines.column_grad[j] * gc_exp(scaled + lines.column_base[j]);
                }
                weight = s.out ? 0.0f : weight;
                by_bias += weight;
                by_factor = gc_fma(weight, s.score, by_factor);
                weight *= factor * gc_score_slope<FUNCTION>(s.u, s.score);
                // What would become denormal slows the products after it.
                weight = gc_abs(weight) < GC_TINY ? 0.0f : weight;
                close += s.close;
                p.out[i * p.out_ld + j] = s.close ? GC_INFINITY : weight;
                level = gc_fma(weight, gc_fma(h, b, 1.0f), level);
                column_level[v] = gc_fma(weight, gc_fma(h, a, 1.0f), column_level[v]);
            }
            factor_sum += (double)by_factor;
            weight_sum += SOFTPLUS ? (double)by_bias : 0.0;
            level = t.sum(level);
            if (t.lane() == 0) levels[t.warp() * HEIGHT + (i - patch.row)] = level;
        }
        for (int v = 0; v < SPAN; ++v)
            if (column + 32 * v < patch.column_end)
                parts.column_sum[patch.at_row * p.columns + column + 32 * v] = column_level[v];
        close = t.sum(close);
        if (t.lane() == 0 && close > 0) t.count(p.close, close);
        factor_sum = t.sum(factor_sum), weight_sum = t.sum(weight_sum);
        if (t.lane() == 0) shares[t.warp()] = factor_sum, shares[WARPS + t.warp()] = weight_sum;
        t.sync();
        const int line = t.index();
        if (line < HEIGHT && patch.row + line < patch.row_end) {
            float sum = 0;
            for (int w = 0; w < WARPS; ++w) sum += levels[w * HEIGHT + line];
            parts.row_sum[patch.at_column * p.rows + patch.row + line] = sum;
        }
        if (line < 2) {
            double sum = 0;
            for (int w = 0; w < WARPS; ++w) sum += shares[line * WARPS + w];
            parts.totals[line * t.blocks() + t.block()] = sum;
        }
    }
};

// dL/du of a close pair, with what it adds to dL/dfactor and dL/dbias.
struct Share {
    double weight, factor, bias;
};

GC_DEVICE Share share_of(const Block& p, const Weights& w, const Form& f, int64_t i, int64_t j) {
    const double score = near_score(p.function, f.u, f.v), l = p.factor * score + p.bias;
    double weight;
    if (p.softplus) {
        const double e = std::exp(-std::fabs(l));
        weight = w.row_grad[i] * ((l > 0 ? 1 : e) / (1 + e));
    } else {
        weight = w.row_grad[i] * std::exp(l - w.row_base[i]) +
                 w.column_grad[j] * std::exp(l - w.column_base[j]);
    }
    const double slope = near_slope(p.function, f.u, f.v, score);
    return Share{weight * p.factor * slope, weight * score, weight};
}

struct CloseRows {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, Block p, Weights w, double* totals) {
        const int64_t i = t.block() * WARPS + t.warp();
        if (i >= p.rows || !repairs(p).open()) return;
        double by_factor = 0, by_bias = 0, by_c = 0;
        const float* x = p.x + i * p.d;
        gc_row_marks(t, i, 0, p.columns, marks_of(p, GC_INFINITY), [&](int64_t j) {
            const float* y = p.y + j * p.d;
            const Form f = gc_form(t, p.space, x, y, p.d, p.c);
            const Share s = share_of(p, w, f, i, j);
            gc_add_pull(t, p.space, x, y, p.d, p.c, f, s.weight, w.x + i * p.d);
            by_factor += s.factor;
            by_bias += s.bias;
            by_c += pull_c(p.space, p.c, f.pair, f.u, s.weight);
        });
        if (t.lane() != 0) return;
        totals[i] = by_factor;
        totals[p.rows + i] = by_bias;
        totals[2 * p.rows + i] = by_c;
    }
};

struct CloseColumns {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, Block p, Weights w) {
        if (!repairs(p).open()) return;
        gc_column_marks(t, p.rows, p.columns, t.block() * 32, marks_of(p, GC_INFINITY),
                        [&](int64_t i, int64_t j) {
                            const float *x = p.x + i * p.d, *y = p.y + j * p.d;
                            const Form f = gc_form(t, p.space, y, x, p.d, p.c);
                            const Share s = share_of(p, w, f, i, j);
                            gc_add_pull(t, p.space, y, x, p.d, p.c, f, s.weight, w.y + j * p.d);
                        });
    }
};

// Weights of close pairs, or of a refused tile, to 0.
struct Clear {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, Block p) {
        if (*p.close == 0) return;
        const bool refused = *p.close > p.limit;
        const Patch patch(t.block(), p.rows, p.columns);
        for (int64_t i = patch.row; i < patch.row_end; ++i)
            for (int64_t j = patch.column + t.index(); j < patch.column_end; j += THREADS) {
                float& w = p.out[i * p.out_ld + j];
                if (refused || w == GC_INFINITY) w = 0.0f;
            }
    }
};

static Parts parts_of(Work& work, const Block& p, bool tops) {
    const int64_t up = gc_ceil(p.rows, HEIGHT), across = gc_ceil(p.columns, WIDTH);
    Parts parts{};
    parts.row_sum = work.take<float>(across * p.rows);
    parts.column_sum = work.take<float>(up * p.columns);
    if (tops) {
        parts.row_top = work.take<float>(across * p.rows);
        parts.column_top = work.take<float>(up * p.columns);
    } else {
        parts.totals = work.take<double>(2 * up * across);
    }
    return parts;
}

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

// As manifolds_sums_backward of the host, close pairs included: their gradients go to `weights`,
// dL/dc through them to totals[2].
GC_EXPORT int manifolds_sums_backward(const Block* block, const float* row_base,
                                      const float* row_grad, const float* column_base,
                                      const float* column_grad, double* row_level,
                                      double* column_level, double* totals,
                                      const Weights* weights, const Place* place) {
    const Block& p = *block;
    const Lines lines{row_base, row_grad, column_base, column_grad};
    const int64_t up = gc_ceil(p.rows, HEIGHT), across = gc_ceil(p.columns, WIDTH);
    Work work(place);
    const Parts parts = parts_of(work, p, false);
    double* close_totals = work.take<double>(3 * p.rows);
    if (!work.enough()) return GC_NO_WORK;
    int status = 0;
#define GC_CALL(F)                                                                               \
    status = p.softplus ? gc_launch<Slopes<F, true>>(up * across, place, p, lines, parts)        \
                        : gc_launch<Slopes<F, false>>(up * across, place, p, lines, parts)
    GC_FUNCTIONS(p.function, GC_CALL)
#undef GC_CALL
    GC_TRY(status);
    const Gate added{p.close, 0, p.limit}, close{p.close, 1, p.limit};
    GC_TRY(add_parts<float>(place, parts.row_sum, across, p.rows, row_level, added));
    GC_TRY(add_parts<float>(place, parts.column_sum, up, p.columns, column_level, added));
    GC_TRY(gc_launch<AddTotals>(2, place, (const double*)parts.totals, up * across, totals, added));
    GC_TRY(gc_launch<CloseRows>(gc_ceil(p.rows, WARPS), place, p, *weights, close_totals));
    GC_TRY(gc_launch<AddTotals>(3, place, (const double*)close_totals, p.rows, totals, close));
    GC_TRY(gc_launch<CloseColumns>(gc_ceil(p.columns, 32), place, p, *weights));
    return gc_launch<Clear>(gc_patches(p.rows, p.columns), place, p);
}
