// Single pairs from differences, for those that the matrix product does not resolve.
//
// Polar kinds: with n = |x| - |y|, z the shorter of the two and t = (x - y) - (n/|z|) z,
//
//     e = x/|x| - y/|y| = t / longer        |x||y||e|^2 = |t|^2 shorter / longer
//     s^2 = sinh^2(D/2) = c n^2 / (2 (1 + a b + cosh rx cosh ry)) + (c/4)|x||y||e|^2
//
// The vector loops run in float32, where x - y is exact to half a unit in the last place. They run
// in float64 where that is not enough: n from separate norms has no digits left, t is short beside
// n (nearly radial pairs far out), or squares leave the range of float32. On the sphere, y is
// replaced by -y where that is the nearer one.
#pragma once

#include "sides.h"

struct Near {
    double s;       // sinh(D/2), |x - y|, or |e|/2 (of the nearer of y and -y)
    double n;       // |x| - |y|
    double longer;  // of |x| and |y|; 1 for the flat kinds
    float sign;     // of y
    float in_x, in_y;  // t = (x - sign y) - in_x x - in_y sign y
    bool wide;      // whether t needs float64
};

enum : int64_t { CHUNK = 256 };  // pairs of one row handled together

// What the gradient at x takes from a close pair, each times the incoming gradient g.
struct Pull {
    double weight;  // as Slope::weight
    double half;    // hyperbolic: g tanh(D/2)
    double radial;  // lorentz: weight sinh(rx - ry)
    double along;   // of t in v = -(sum of weighted differences)
};

// Row i of side a against k <= CHUNK rows of side b.
void gc_direct(const Problem& p, const Side& a, int64_t i, const Side& b, const int64_t* js,
               int64_t k, Near* near);

// Distance times 1/scale, or the exterior angle, of row i of x and row j of y.
double gc_direct_value(const Problem& p, const Near& q, int64_t i, int64_t j);

// Row i of side a against its close pairs js of side b, with incoming gradients gs: v -= sum of
// along t; adds to *extra (backward.cpp) and, if `curvature`, to *by_c. `partial` holds d floats.
void gc_pull(const Problem& p, const Side& a, int64_t i, const Side& b, const int64_t* js,
             const float* gs, int64_t k, bool curvature, float* v, double* extra, double* by_c,
             float* partial);
