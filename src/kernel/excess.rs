//! The loss above its least value for the target: the excess.
//!
//! With q = sigmoid(-|z|), p = 1 - q, u = (z < 0 ? t : 1 - t) and v = 1 - u it is
//!
//! ```text
//! KL(t || sigmoid(z)) = u ln(u/q) + v ln(v/p) = D(u, q) + D(v, p),
//! D(x, y) = x ln(x/y) - x + y >= 0
//! ```
//!
//! since the linear parts add up to 0. With d = q - u, the gradient but for its sign:
//!
//! * Where q/u and p/v are near 1: D(x, y) = x (r - ln(1 + r)), r = +-d/x, by the
//!   polynomial of ln. Nothing cancels: the excess is about d^2/(2 p q), and its
//!   error about d times that of d.
//! * Where they are not: by the logarithms, without the linear parts, so that
//!   the error of d has no part in it.
//! * Where u is small, p/v may be near 1 and q/u not: D(v, p) by the polynomial,
//!   D(u, q) by the logarithms.
//!
//! ln q = -(|z| + log1p(e)) is not taken from q, which may be subnormal.

use crate::coeffs::double;
use crate::kernel::double::two_sum;
use crate::kernel::{ExpNeg, Plain, Point, Pointwise, Sum, Wanted};
use crate::kernel::{horner, limit, log1p_of, nan_like, splat, split};
use crate::lane::{Float, Isa, Job, Lane};

/// The polynomial of ln(1 + r) holds for |r| up to here: 1 - sqrt(1/2) is larger.
const NEAR: f64 = 0.29;

/// x (r - ln(1 + r)) where `near`, else x ln(x/y) + `linear`, with ln y = -(a + `log1p`).
#[cfg_attr(not(debug_assertions), inline(always))]
fn divergence<W: Lane<Real = f64>>(near: W::Mask, x: W, r: W, linear: W, a: W, log1p: Sum<W>) -> W {
    let (k, g) = split(x);
    let g = W::select(near, r, g);
    let (square, tail) = (g * g, horner(&double::LN, g));
    let by_polynomial = x * -(square * tail);
    // a and k ln 2 may cancel, and then do so exactly.
    let sum = two_sum(k.fma(splat(double::LN2_HI), a), log1p.high);
    let low = sum.low + (log1p.low + tail.fma(square, k * splat(double::LN2_LO)));
    let sum = two_sum(sum.high, g);
    let logarithm = sum.high + (sum.low + low);
    W::select(near, by_polynomial, x.fma(logarithm, linear))
}

/// The excess in `f64`; `exp` is that of z.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn excess<W: Lane<Real = f64>>(z: W, t: W, exp: ExpNeg<W>) -> W {
    let of = Of { z, t, exp };
    if const { W::WIDTH == 1 } {
        // One copy for all: where FMA is emulated, a call more is nothing.
        z.run_outlined(of)
    } else {
        of.excess()
    }
}

/// What `excess` is of.
struct Of<W> {
    z: W,
    t: W,
    exp: ExpNeg<W>,
}

impl<W: Lane<Real = f64>> Job for Of<W> {
    type Output = W;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run<I: Isa>(self, _: I) -> W {
        self.excess()
    }
}

impl<W: Lane<Real = f64>> Of<W> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn excess(self) -> W {
        let Self { z, t, exp } = self;
        let (zero, one, sign_bit) = (splat::<W>(0.0), splat::<W>(1.0), splat::<W>(-0.0));
        let minus_a = z.or_bits(sign_bit);
        let log1p = log1p_of(minus_a, exp);
        let wanted = Wanted::LOSS.and(Wanted::GRADIENT);
        let plain = Plain.finish::<W, true>(z, t, exp, wanted);
        let minus_d = plain.gradient.xor_bits(z.and_bits(sign_bit));
        let d = minus_d.xor_bits(sign_bit);

        let complement = one - t;
        // What 1 - t lost.
        let lost = (one - complement) - t;
        let (u, v) = (
            z.select_negative(t, complement),
            z.select_negative(complement, t),
        );
        let (r_u, r_v) = (d / u, minus_d / v);
        let (limit_r, r_both) = (splat::<W>(NEAR), r_u.abs().max_or(r_v.abs()));
        let small_u = splat::<W>(0.125).greater(u);
        let near_u = limit_r.greater(r_both);
        let near_v = limit_r.greater(W::select(small_u, r_v.abs(), r_both));
        // Without `near_v` there is no `near_u`.
        let (linear_u, linear_v) = (W::select(near_v, d, lost), W::select(near_v, minus_d, zero));
        let sum = divergence(near_u, u, r_u, linear_u, -minus_a, log1p)
            + divergence(near_v, v, r_v, linear_v, zero, log1p);
        let sum = nan_like::<W, true>(z, limit::<W, true>(minus_a, u, sum));
        // Hard labels: the entropy is 0.
        let sum = W::select(t.equal(zero), plain.loss, sum);
        W::select(t.equal(one), plain.loss, sum)
    }
}

/// `Plain` with the excess as its loss.
#[derive(Clone, Copy)]
pub(crate) struct Excess;

impl<T: Float> Pointwise<T> for Excess {
    const RARE: bool = true;
    const OF_EXP: bool = true;
    const IN_WINDOW: bool = false;
    const FAST_REMAINDER: bool = false;
    const ABREAST: bool = false;
    const MAIN_LOOP: bool = false;
    const PLAIN_LOOPS: bool = false;
    const LOSSES_APART: bool = false;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn finish<L: Lane<Real = T>, const FULL: bool>(
        &self,
        z: L,
        t: L,
        exp: ExpNeg<L>,
        wanted: Wanted,
    ) -> Point<L> {
        let (z_halves, t_halves) = (z.widen(), t.widen());
        let of = ExpNeg::of::<true>;
        let low = excess(z_halves.0, t_halves.0, of(z_halves.0));
        let high = if L::HALVES == 2 {
            excess(z_halves.1, t_halves.1, of(z_halves.1))
        } else {
            low
        };
        Point {
            loss: L::narrow(low, high),
            ..Plain.finish::<L, FULL>(z, t, exp, wanted.derivatives_alone())
        }
    }
}
