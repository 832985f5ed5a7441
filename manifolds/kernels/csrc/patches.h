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
//
// The passes forward stand in sums.cu, those backward in slopes.cu; here is what both need.
#pragma once

#include "marks.h"
#include "scores.h"
#include "warp.h"

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

// Where the patches leave their sums. Rows: (patches across, rows); columns: (patches up, columns).
struct Parts {
    float *row_top, *row_sum, *column_top, *column_sum;
    double* totals;  // (2, patches)
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
