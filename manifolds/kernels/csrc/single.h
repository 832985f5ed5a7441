// What a thread keeps of a row; single close pairs on a device, a warp for each, in float64 (the
// forms stand in direct.h).
#pragma once

#include "direct.h"
#include "grid.h"

// A row of the float32 table.
struct Terms {
    float alpha, alpha_p, radial, low, other, sech;
};

GC_DEVICE Terms terms_of(const Side& s, int64_t i) {
    const Columns c(s);
    return Terms{c.alpha[i], c.alpha_p[i], c.radial[i], c.low[i], c.other[i], c.sech[i]};
}

// n and |t|^2 of row x and sign y.
GC_DEVICE double gc_lengths(const Thread& t, bool polar, const float* x, const float* y, int64_t d,
                            double nx, double ny, Near& q) {
    const double sign = q.sign;
    double in_x, in_y, n = 0, total = 0;
    if (polar) {
        for (int64_t k = t.lane(); k < d; k += 32)
            n += ((double)x[k] - sign * y[k]) * ((double)x[k] + sign * y[k]);
        n = t.sum(n);
        q.n = nx + ny == 0 ? 0.0 : n / (nx + ny);
        set_shorter(q, nx, ny);
    }
    wide_ratios(polar, q, nx, ny, in_x, in_y);
    for (int64_t k = t.lane(); k < d; k += 32) {
        const double part = wide_t(x[k], sign * y[k], in_x, in_y);
        total += part * part;
    }
    return t.sum(total);
}

// Row i of side a against row j of side b.
GC_DEVICE Near gc_single(const Thread& t, const Problem& p, const Side& a, int64_t i,
                         const Side& b, int64_t j) {
    const float *x = a.points + i * a.ld, *y = b.points + j * b.ld;
    const double nx = a.exact[NORM * a.n + i], fx = a.exact[SCALE * a.n + i];
    const double ny = b.exact[NORM * b.n + j], fy = b.exact[SCALE * b.n + j];
    const bool polar = is_polar(p.kind);
    Near q{};
    q.sign = q.longer = 1;
    double t2 = gc_lengths(t, polar, x, y, p.d, nx, ny, q);
    if (is_spherical(p.kind) && t2 > 2 * q.longer * q.longer) {
        q.sign = -1;
        t2 = gc_lengths(t, polar, x, y, p.d, nx, ny, q);
    }
    q.s = gc_direct_s(p, q, t2, nx, fx, ny, fy);
    return q;
}
