// The forms of near.h for one pair of points on a device, a warp for each pair.
#pragma once

#include "grid.h"
#include "near.h"

struct Form {
    Pair pair;
    double u, v;
};

// Of two rows of d features.
GC_DEVICE Form gc_form(const Thread& t, int64_t space, const float* x, const float* y, int64_t d,
                       double c) {
    double xx = 0, yy = 0, dd = 0, xy = 0, nn = 0;
    for (int64_t k = t.lane(); k < d; k += 32) {
        const double a = x[k], b = y[k], difference = a - b;
        xx += a * a;
        yy += b * b;
        xy += a * b;
        dd += difference * difference;
        nn += difference * (a + b);
    }
    xx = t.sum(xx), yy = t.sum(yy), xy = t.sum(xy), dd = t.sum(dd), nn = t.sum(nn);
    Form f;
    Pair& p = f.pair;
    p = pair_of(xx, yy, dd, xy, nn);
    if (is_polar_space(space)) {
        const double inverse = p.degenerate ? 0 : 1 / p.longer;
        const double zx = p.x_longer ? 0 : p.in_z, zy = p.x_longer ? p.in_z : 0;
        double e2 = 0, f2 = 0;
        for (int64_t k = t.lane(); k < d; k += 32) {
            const double a = x[k], b = y[k];
            // x - y is exact to a unit in the last place of float64: it is formed first.
            const double near = (a - b) - (zx * a + zy * b), far = (a + b) - (zx * a - zy * b);
            e2 += near * near;
            f2 += far * far;
        }
        p.e2 = t.sum(e2) * inverse * inverse;
        p.f2 = t.sum(f2) * inverse * inverse;
    }
    form_of(space, c, p, f.u, f.v);
    return f;
}

// Adds w du/dx to `grad`. That of y is the same with x and y exchanged.
GC_DEVICE void gc_add_pull(const Thread& t, int64_t space, const float* x, const float* y,
                           int64_t d, double c, const Form& f, double w, float* grad) {
    const Pair& p = f.pair;
    const double inverse = p.x_norm > 0 ? 1 / p.x_norm : 0;
    double across = 0, along = 0;  // of x - y and of x
    if (space == DOT) across = -w, along = w;
    if (space == EUCLIDEAN) across = 2 * w;
    if (space == POINCARE) {
        const double x_gap = gap(p.xx, c), y_gap = gap(p.yy, c);
        across = 4 * c * w / x_gap / y_gap;
        along = 2 * c * w * f.u / x_gap;
    }
    if (space == SPHERE) {
        // The part of y/|y| across x equals that of -e and of f: take the shorter.
        const double sign = p.e2 <= p.f2 ? -1 : 1, unit = p.degenerate ? 0 : 1 / p.longer;
        const double zx = p.x_longer ? 0 : p.in_z, zy = p.x_longer ? p.in_z : 0;
        double tx = 0;
        for (int64_t k = t.lane(); k < d; k += 32) {
            const double a = x[k], b = sign * y[k];
            tx += ((a + b) - (zx * a - zy * b)) * unit * a;
        }
        tx = t.sum(tx) * inverse * inverse;
        const double scale = -sign * w * inverse;
        for (int64_t k = t.lane(); k < d; k += 32) {
            const double a = x[k], b = sign * y[k];
            grad[k] += (float)(scale * (((a + b) - (zx * a - zy * b)) * unit - tx * a));
        }
        return;
    }
    if (space == LORENTZ) {
        const double root_c = std::sqrt(c), a = root_c * p.x_norm, b = root_c * p.y_norm;
        const double s = radial_sinh(p.n, root_c, a, b), n = p.n * inverse;
        // <x - y, x/|x|> - n: what is left along the radius after n is taken.
        double tx = 0;
        for (int64_t k = t.lane(); k < d; k += 32)
            tx += ((double)x[k] - (double)y[k] - n * x[k]) * x[k];
        tx = t.sum(tx) * inverse;
        across = w * c;
        along = w * root_c * inverse *
                (s / std::sqrt(1 + a * a) + b * p.e2 / 2 - root_c * (p.n + tx));
    }
    for (int64_t k = t.lane(); k < d; k += 32)
        grad[k] += (float)(across * ((double)x[k] - (double)y[k]) + along * (double)x[k]);
}
