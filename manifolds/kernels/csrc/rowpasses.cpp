// Passes over rows for the row-wise operations (manifolds/rowwise/passes.py): float32 points, sums
// in float64, one rounding to float32. Notation in rowpasses.h.
#include <cmath>
#include <vector>

#include "abi.h"
#include "rowpasses.h"
#include "threads.h"

GC_CLONES void gc_row_norms(Rows x, int64_t d, int64_t begin, int64_t end, double* out) {
    for (int64_t i = begin; i < end; ++i) {
        const float* a = x.row(i);
        double total = 0;
#pragma omp simd reduction(+ : total)
        for (int64_t k = 0; k < d; ++k) total += (double)a[k] * (double)a[k];
        out[i] = std::sqrt(total);
    }
}

GC_CLONES void gc_row_scaled(Rows x, int64_t d, int64_t begin, int64_t end, const double* factor,
                             float* out) {
    for (int64_t i = begin; i < end; ++i) {
        const float* a = x.row(i);
        float* o = out + i * d;
        const double f = factor[i];
#pragma omp simd
        for (int64_t k = 0; k < d; ++k) o[k] = (float)(f * (double)a[k]);
    }
}

GC_CLONES void gc_row_map(Rows g, Rows x, int64_t d, int64_t begin, int64_t end, const double* f,
                          const double* factor, float* out, double* product) {
    for (int64_t i = begin; i < end; ++i) {
        const float *u = g.row(i), *a = x.row(i);
        float* o = out + i * d;
        double along = 0;
#pragma omp simd reduction(+ : along)
        for (int64_t k = 0; k < d; ++k) along += (double)u[k] * (double)a[k];
        product[i] = along;
        const double p = f[i], q = factor[i] * along;
#pragma omp simd
        for (int64_t k = 0; k < d; ++k) o[k] = (float)(p * (double)u[k] + q * (double)a[k]);
    }
}

GC_CLONES void gc_row_difference(Rows x, Rows y, int64_t d, int64_t n, int64_t begin, int64_t end,
                                 bool ends, double* out) {
    for (int64_t i = begin; i < end; ++i) {
        const float *a = x.row(i), *b = y.row(i);
        double dd = 0, xx = 0, yy = 0;
#pragma omp simd reduction(+ : dd, xx, yy)
        for (int64_t k = 0; k < d; ++k) {
            double u = a[k], v = b[k], t = u - v;
            dd += t * t;
            xx += u * u;
            yy += v * v;
        }
        out[i] = std::sqrt(dd);
        if (ends) {
            out[n + i] = std::sqrt(xx);
            out[2 * n + i] = std::sqrt(yy);
        }
    }
}

// a x + e (x - y) and b y - e (x - y).
GC_CLONES void gc_row_pull(Rows x, Rows y, int64_t d, int64_t n, int64_t begin, int64_t end,
                           const double* factors, bool ends, float* grad_x, float* grad_y) {
    for (int64_t i = begin; i < end; ++i) {
        const float *a = x.row(i), *b = y.row(i);
        const double e = factors[i];
        const double fa = ends ? factors[n + i] : 0.0, fb = ends ? factors[2 * n + i] : 0.0;
        if (grad_x) {
            float* o = grad_x + i * d;
#pragma omp simd
            for (int64_t k = 0; k < d; ++k)
                o[k] = (float)(fa * (double)a[k] + e * ((double)a[k] - (double)b[k]));
        }
        if (grad_y) {
            float* o = grad_y + i * d;
#pragma omp simd
            for (int64_t k = 0; k < d; ++k)
                o[k] = (float)(fb * (double)b[k] - e * ((double)a[k] - (double)b[k]));
        }
    }
}

namespace {

// t = T(v, w) for |w| = norm, relative to itself; 0 only where v lies along w. With w_p the longest
// coordinate of w, (v w_p - w v_p)/w_p loses nothing (products of float32 numbers are exact) and
// has a part along w that is at most sqrt(d) times longer than T.
GC_INLINE void across(const float* v, const float* w, int64_t d, double norm, double* t) {
    int64_t p = 0;
    for (int64_t k = 1; k < d; ++k)
        if (std::fabs(w[k]) > std::fabs(w[p])) p = k;
    const double own = w[p], other = v[p], inverse = 1.0 / positive(own);
    double along = 0;
#pragma omp simd reduction(+ : along)
    for (int64_t k = 0; k < d; ++k) {
        double b = w[k], rest = ((double)v[k] * own - b * other) * inverse;
        t[k] = rest;
        along += rest * b;
    }
    along = along / norm / norm;
#pragma omp simd
    for (int64_t k = 0; k < d; ++k) t[k] -= along * (double)w[k];
}

}  // namespace

// |x|, |y|, <x, y>, <x - m y, x>, <x - m y, y^>, |T(x, y)|; buffer: d numbers.
GC_CLONES void gc_row_polar(Rows x, Rows y, int64_t d, int64_t n, int64_t begin, int64_t end,
                            double* out, double* buffer) {
    for (int64_t i = begin; i < end; ++i) {
        const float *a = x.row(i), *b = y.row(i);
        double xx = 0, yy = 0, xy = 0;
#pragma omp simd reduction(+ : xx, yy, xy)
        for (int64_t k = 0; k < d; ++k) {
            double u = a[k], v = b[k];
            xx += u * u;
            yy += v * v;
            xy += u * v;
        }
        Polar p = polar_of(xx, yy, xy);
        const double m = p.m;
        if (p.sine2 < SAFE) {
            double sx = 0, sy = 0, tt = 0;
#pragma omp simd reduction(+ : sx, sy)
            for (int64_t k = 0; k < d; ++k) {
                double t = (double)a[k] - m * (double)b[k];
                sx += t * (double)a[k];
                sy += t * (double)b[k];
            }
            p.step_x = sx;
            p.step_y = sy / positive(p.ny);
            across(a, b, d, positive(p.ny), buffer);
#pragma omp simd reduction(+ : tt)
            for (int64_t k = 0; k < d; ++k) tt += buffer[k] * buffer[k];
            p.length = std::sqrt(tt);
        }
        const double values[6] = {p.nx, p.ny, xy, p.step_x, p.step_y, p.length};
        for (int f = 0; f < 6; ++f) out[f * n + i] = values[f];
    }
}

namespace {

// p w^ + q T(v, w) into o.
GC_INLINE void polar_pull(const float* w, const float* v, int64_t d, double norm, double m,
                          double along, double p, double q, double turned, float* o,
                          double* buffer) {
    const double whole = along + m * norm, unit = 1.0 / positive(norm);
    if (pull_cancels(whole, p, q, turned)) {
        across(v, w, d, positive(norm), buffer);
#pragma omp simd
        for (int64_t k = 0; k < d; ++k) o[k] = (float)(q * buffer[k] + p * (unit * (double)w[k]));
        return;
    }
    const double own = (p - q * whole) * unit;
#pragma omp simd
    for (int64_t k = 0; k < d; ++k) o[k] = (float)(own * (double)w[k] + q * (double)v[k]);
}

}  // namespace

// p x^ + q T(y, x) and r y^ + s T(x, y), from the six rows of gc_row_polar.
GC_CLONES void gc_row_polar_pull(Rows x, Rows y, int64_t d, int64_t n, int64_t begin, int64_t end,
                                 const double* polar, const double* factors, float* grad_x,
                                 float* grad_y, double* buffer) {
    for (int64_t i = begin; i < end; ++i) {
        const PolarEnds e = polar_ends(polar, n, i);
        if (grad_x)
            polar_pull(x.row(i), y.row(i), d, e.nx, e.near_x, e.along_x, factors[i],
                       factors[n + i], e.across_y, grad_x + i * d, buffer);
        if (grad_y)
            polar_pull(y.row(i), x.row(i), d, e.ny, e.near_y, e.along_y, factors[2 * n + i],
                       factors[3 * n + i], e.across_x, grad_y + i * d, buffer);
    }
}

GC_EXPORT int manifolds_row_norms(int64_t n, int64_t d, const float* x, int64_t ldx,
                                  double* out, int64_t threads) {
    shares(n, threads, [&](int64_t begin, int64_t end, int64_t) {
        gc_row_norms({x, ldx}, d, begin, end, out);
    });
    return 0;
}

GC_EXPORT int manifolds_row_scaled(int64_t n, int64_t d, const float* x,
                                   int64_t ldx, const double* factor, float* out, int64_t threads) {
    shares(n, threads, [&](int64_t begin, int64_t end, int64_t) {
        gc_row_scaled({x, ldx}, d, begin, end, factor, out);
    });
    return 0;
}

GC_EXPORT int manifolds_row_map(int64_t n, int64_t d, const float* g, int64_t ldg,
                                const float* x, int64_t ldx, const double* f, const double* k,
                                float* out, double* product, int64_t threads) {
    shares(n, threads, [&](int64_t begin, int64_t end, int64_t) {
        gc_row_map({g, ldg}, {x, ldx}, d, begin, end, f, k, out, product);
    });
    return 0;
}

GC_EXPORT int manifolds_row_difference(int64_t n, int64_t d, const float* x,
                                       int64_t ldx, const float* y, int64_t ldy, int64_t ends,
                                       double* out, int64_t threads) {
    shares(n, threads, [&](int64_t begin, int64_t end, int64_t) {
        gc_row_difference({x, ldx}, {y, ldy}, d, n, begin, end, ends != 0, out);
    });
    return 0;
}

GC_EXPORT int manifolds_row_pull(int64_t n, int64_t d, const float* x, int64_t ldx,
                                 const float* y, int64_t ldy, const double* factors, int64_t ends,
                                 float* grad_x, float* grad_y, int64_t threads) {
    shares(n, threads, [&](int64_t begin, int64_t end, int64_t) {
        gc_row_pull({x, ldx}, {y, ldy}, d, n, begin, end, factors, ends != 0, grad_x, grad_y);
    });
    return 0;
}

GC_EXPORT int manifolds_row_polar(int64_t n, int64_t d, const float* x, int64_t ldx,
                                  const float* y, int64_t ldy, double* out, int64_t threads) {
    shares(n, threads, [&](int64_t begin, int64_t end, int64_t) {
        std::vector<double> buffer(d);
        gc_row_polar({x, ldx}, {y, ldy}, d, n, begin, end, out, buffer.data());
    });
    return 0;
}

GC_EXPORT int manifolds_row_polar_pull(int64_t n, int64_t d, const float* x,
                                       int64_t ldx, const float* y, int64_t ldy,
                                       const double* polar, const double* factors, float* grad_x,
                                       float* grad_y, int64_t threads) {
    shares(n, threads, [&](int64_t begin, int64_t end, int64_t) {
        std::vector<double> buffer(d);
        gc_row_polar_pull({x, ldx}, {y, ldy}, d, n, begin, end, polar, factors, grad_x, grad_y,
                          buffer.data());
    });
    return 0;
}
