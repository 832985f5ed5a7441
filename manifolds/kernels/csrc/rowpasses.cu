// The passes over rows on a device, a warp for each row; the host's are in rowpasses.cpp.
#include "rowpasses.h"

#include "grid.h"

namespace {

struct Norms {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, int64_t n, int64_t d, Rows x, double* out) {
        const int64_t i = t.block() * WARPS + t.warp();
        if (i >= n) return;
        const float* a = x.row(i);
        double total = 0;
        for (int64_t k = t.lane(); k < d; k += 32) total += (double)a[k] * (double)a[k];
        total = t.sum(total);
        if (t.lane() == 0) out[i] = std::sqrt(total);
    }
};

struct Scaled {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, int64_t n, int64_t d, Rows x, const double* factor,
                       float* out) {
        const int64_t i = t.block() * WARPS + t.warp();
        if (i >= n) return;
        const float* a = x.row(i);
        for (int64_t k = t.lane(); k < d; k += 32) out[i * d + k] = (float)(factor[i] * (double)a[k]);
    }
};

struct Map {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, int64_t n, int64_t d, Rows g, Rows x, const double* f,
                       const double* factor, float* out, double* product) {
        const int64_t i = t.block() * WARPS + t.warp();
        if (i >= n) return;
        const float *u = g.row(i), *a = x.row(i);
        double along = 0;
        for (int64_t k = t.lane(); k < d; k += 32) along += (double)u[k] * (double)a[k];
        along = t.sum(along);
        if (t.lane() == 0) product[i] = along;
        const double p = f[i], q = factor[i] * along;
        for (int64_t k = t.lane(); k < d; k += 32)
            out[i * d + k] = (float)(p * (double)u[k] + q * (double)a[k]);
    }
};

struct Difference {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, int64_t n, int64_t d, Rows x, Rows y, bool ends,
                       double* out) {
        const int64_t i = t.block() * WARPS + t.warp();
        if (i >= n) return;
        const float *a = x.row(i), *b = y.row(i);
        double dd = 0, xx = 0, yy = 0;
        for (int64_t k = t.lane(); k < d; k += 32) {
            const double u = a[k], v = b[k], difference = u - v;
            dd += difference * difference;
            xx += u * u;
            yy += v * v;
        }
        dd = t.sum(dd), xx = t.sum(xx), yy = t.sum(yy);
        if (t.lane() != 0) return;
        out[i] = std::sqrt(dd);
        if (!ends) return;
        out[n + i] = std::sqrt(xx);
        out[2 * n + i] = std::sqrt(yy);
    }
};

// a x + e (x - y) and b y - e (x - y).
struct DifferencePull {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, int64_t n, int64_t d, Rows x, Rows y,
                       const double* factors, bool ends, float* grad_x, float* grad_y) {
        const int64_t i = t.block() * WARPS + t.warp();
        if (i >= n) return;
        const float *a = x.row(i), *b = y.row(i);
        const double e = factors[i];
        const double fa = ends ? factors[n + i] : 0.0, fb = ends ? factors[2 * n + i] : 0.0;
        for (int64_t k = t.lane(); k < d; k += 32) {
            const double u = a[k], v = b[k];
            if (grad_x != nullptr) grad_x[i * d + k] = (float)(fa * u + e * (u - v));
            if (grad_y != nullptr) grad_y[i * d + k] = (float)(fb * v - e * (u - v));
        }
    }
};

// T(v, w) as in rowpasses.cpp: with w_p the longest coordinate, (v w_p - w v_p)/w_p less its part
// along w. Its coordinates are formed when they are asked for.
struct Across {
    double own, other, inverse, along;
    GC_MEMBER double part(double v, double w) const { return (v * own - w * other) * inverse; }
    GC_MEMBER double operator()(double v, double w) const { return part(v, w) - along * w; }
};

GC_DEVICE Across across_of(const Thread& t, const float* v, const float* w, int64_t d,
                           double norm) {
    float longest = -1;
    int64_t p = 0;
    for (int64_t k = t.lane(); k < d; k += 32)
        if (gc_abs(w[k]) > longest) longest = gc_abs(w[k]), p = k;
    const int winner = Thread::first(t.vote(longest == t.max(longest)) | 0x80000000u);
    p = t.sum(t.lane() == winner ? p : (int64_t)0);
    Across a{w[p], v[p], 1.0 / positive(w[p]), 0};
    double along = 0;
    for (int64_t k = t.lane(); k < d; k += 32) along += a.part(v[k], w[k]) * w[k];
    a.along = t.sum(along) / norm / norm;
    return a;
}

struct PolarRows {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, int64_t n, int64_t d, Rows x, Rows y, double* out) {
        const int64_t i = t.block() * WARPS + t.warp();
        if (i >= n) return;
        const float *a = x.row(i), *b = y.row(i);
        double xx = 0, yy = 0, xy = 0;
        for (int64_t k = t.lane(); k < d; k += 32) {
            const double u = a[k], v = b[k];
            xx += u * u;
            yy += v * v;
            xy += u * v;
        }
        xx = t.sum(xx), yy = t.sum(yy), xy = t.sum(xy);
        Polar p = polar_of(xx, yy, xy);
        if (p.sine2 < SAFE) {
            double sx = 0, sy = 0, tt = 0;
            for (int64_t k = t.lane(); k < d; k += 32) {
                const double step = (double)a[k] - p.m * (double)b[k];
                sx += step * (double)a[k];
                sy += step * (double)b[k];
            }
            p.step_x = t.sum(sx);
            p.step_y = t.sum(sy) / positive(p.ny);
            const Across part = across_of(t, a, b, d, positive(p.ny));
            for (int64_t k = t.lane(); k < d; k += 32) tt += part(a[k], b[k]) * part(a[k], b[k]);
            p.length = std::sqrt(t.sum(tt));
        }
        if (t.lane() != 0) return;
        const double values[6] = {p.nx, p.ny, xy, p.step_x, p.step_y, p.length};
        for (int f = 0; f < 6; ++f) out[f * n + i] = values[f];
    }
};

// p w^ + q T(v, w) into o.
GC_DEVICE void polar_pull(const Thread& t, const float* w, const float* v, int64_t d, double norm,
                          double m, double along, double p, double q, double turned, float* o) {
    const double whole = along + m * norm, unit = 1.0 / positive(norm);
    if (pull_cancels(whole, p, q, turned)) {
        const Across part = across_of(t, v, w, d, positive(norm));
        for (int64_t k = t.lane(); k < d; k += 32)
            o[k] = (float)(q * part(v[k], w[k]) + p * (unit * (double)w[k]));
        return;
    }
    const double own = (p - q * whole) * unit;
    for (int64_t k = t.lane(); k < d; k += 32)
        o[k] = (float)(own * (double)w[k] + q * (double)v[k]);
}

struct PolarPull {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, int64_t n, int64_t d, Rows x, Rows y, const double* polar,
                       const double* factors, float* grad_x, float* grad_y) {
        const int64_t i = t.block() * WARPS + t.warp();
        if (i >= n) return;
        const PolarEnds e = polar_ends(polar, n, i);
        if (grad_x != nullptr)
            polar_pull(t, x.row(i), y.row(i), d, e.nx, e.near_x, e.along_x, factors[i],
                       factors[n + i], e.across_y, grad_x + i * d);
        if (grad_y != nullptr)
            polar_pull(t, y.row(i), x.row(i), d, e.ny, e.near_y, e.along_y, factors[2 * n + i],
                       factors[3 * n + i], e.across_x, grad_y + i * d);
    }
};

}  // namespace

GC_EXPORT int manifolds_row_norms(int64_t n, int64_t d, const float* x, int64_t ldx, double* out,
                                  const Place* place) {
    return gc_launch<Norms>(gc_ceil(n, WARPS), place, n, d, Rows{x, ldx}, out);
}

GC_EXPORT int manifolds_row_scaled(int64_t n, int64_t d, const float* x, int64_t ldx,
                                   const double* factor, float* out, const Place* place) {
    return gc_launch<Scaled>(gc_ceil(n, WARPS), place, n, d, Rows{x, ldx}, factor, out);
}

GC_EXPORT int manifolds_row_map(int64_t n, int64_t d, const float* g, int64_t ldg, const float* x,
                                int64_t ldx, const double* f, const double* k, float* out,
                                double* product, const Place* place) {
    return gc_launch<Map>(gc_ceil(n, WARPS), place, n, d, Rows{g, ldg}, Rows{x, ldx}, f, k, out,
                          product);
}

GC_EXPORT int manifolds_row_difference(int64_t n, int64_t d, const float* x, int64_t ldx,
                                       const float* y, int64_t ldy, int64_t ends, double* out,
                                       const Place* place) {
    return gc_launch<Difference>(gc_ceil(n, WARPS), place, n, d, Rows{x, ldx}, Rows{y, ldy},
                                 ends != 0, out);
}

GC_EXPORT int manifolds_row_pull(int64_t n, int64_t d, const float* x, int64_t ldx, const float* y,
                                 int64_t ldy, const double* factors, int64_t ends, float* grad_x,
                                 float* grad_y, const Place* place) {
    return gc_launch<DifferencePull>(gc_ceil(n, WARPS), place, n, d, Rows{x, ldx}, Rows{y, ldy},
                                     factors, ends != 0, grad_x, grad_y);
}

GC_EXPORT int manifolds_row_polar(int64_t n, int64_t d, const float* x, int64_t ldx,
                                  const float* y, int64_t ldy, double* out, const Place* place) {
    return gc_launch<PolarRows>(gc_ceil(n, WARPS), place, n, d, Rows{x, ldx}, Rows{y, ldy}, out);
}

GC_EXPORT int manifolds_row_polar_pull(int64_t n, int64_t d, const float* x, int64_t ldx,
                                       const float* y, int64_t ldy, const double* polar,
                                       const double* factors, float* grad_x, float* grad_y,
                                       const Place* place) {
    return gc_launch<PolarPull>(gc_ceil(n, WARPS), place, n, d, Rows{x, ldx}, Rows{y, ldy}, polar,
                                factors, grad_x, grad_y);
}
