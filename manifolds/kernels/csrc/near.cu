// Lists of single pairs on a device, a warp for each; the host's are in near.cpp.
#include "warp.h"

namespace {

struct Values {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, int64_t space, const float* x, const float* y, int64_t d,
                       double c, const int64_t* i, const int64_t* j, int64_t count, double* u,
                       double* v) {
        const int64_t k = t.block() * WARPS + t.warp();
        if (k >= count) return;
        const Form f = gc_form(t, space, x + i[k] * d, y + j[k] * d, d, c);
        if (t.lane() != 0) return;
        u[k] = f.u;
        v[k] = f.v;
    }
};

struct Pulls {
    static constexpr int THREADS = 128;
    GC_DEVICE void run(const Thread& t, int64_t space, const float* x, const float* y, int64_t d,
                       double c, const int64_t* i, const int64_t* j, const double* w,
                       int64_t count, float* grad_x, float* grad_y, double* by_c) {
        const int64_t k = t.block() * WARPS + t.warp();
        if (k >= count) return;
        const int64_t from = i[k] * d, to = j[k] * d;
        const Form f = gc_form(t, space, x + from, y + to, d, c);
        gc_add_pull(t, space, x + from, y + to, d, c, f, w[k], grad_x + from);
        const Form back = gc_form(t, space, y + to, x + from, d, c);
        gc_add_pull(t, space, y + to, x + from, d, c, back, w[k], grad_y + to);
        if (t.lane() == 0) by_c[k] = pull_c(space, c, f.pair, f.u, w[k]);
    }
};

}  // namespace

GC_EXPORT int manifolds_near_values(int64_t space, const float* x, const float* y, int64_t d,
                                    double c, const int64_t* i, const int64_t* j, int64_t k,
                                    double* u, double* v, const Place* place) {
    return gc_launch<Values>(gc_ceil(k, WARPS), place, space, x, y, d, c, i, j, k, u, v);
}

// No row may appear in two pairs.
GC_EXPORT int manifolds_near_pull(int64_t space, const float* x, const float* y, int64_t d,
                                  double c, const int64_t* i, const int64_t* j, const double* w,
                                  int64_t k, float* grad_x, float* grad_y, double* by_c,
                                  int64_t once, const Place* place) {
    if (!once) return GC_SHARED_ROWS;
    return gc_launch<Pulls>(gc_ceil(k, WARPS), place, space, x, y, d, c, i, j, w, k, grad_x,
                            grad_y, by_c);
}
