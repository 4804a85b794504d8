//! The four generators: listed hard cases, edges, an even spacing, and random cases aimed at where
//! it hurts.

use crate::format::Format;
use crate::mpfr::Function;
use fastrand::Rng;
use std::f64::consts::LN_2;

/// Elements in a batch.
pub const BATCH: usize = 4096;

/// Inputs of one batch; `z` holds probabilities for logit.
#[derive(Clone, Debug)]
pub struct Inputs<F> {
    /// Logits.
    pub z: Vec<F>,
    /// Targets.
    pub t: Vec<F>,
    /// Weights.
    pub weights: Vec<F>,
}

impl<F: Format> Inputs<F> {
    fn push(&mut self, function: Function, z: F, t: F, rng: &mut Rng) {
        // logit takes its probabilities from the target generators.
        let (z, t) = if function == Function::Logit {
            (t, F::from_f64(0.5))
        } else {
            (z, t)
        };
        self.z.push(z);
        self.t.push(t);
        self.weights.push(F::from_f64(match rng.u8(..) {
            0..16 => 1.0,
            16..32 => 0.0,
            32..64 => 2.0_f64.powf(rng.f64() * 200.0 - 100.0),
            _ => rng.f64() * 4.0,
        }));
    }

    fn clear(&mut self) {
        self.z.clear();
        self.t.clear();
        self.weights.clear();
    }
}

/// Runs listed, edge and spaced cases, then random ones up to `count` elements in all.
pub fn for_each_batch<F: Format>(
    function: Function,
    count: u64,
    seed: u64,
    mut check: impl FnMut(&Inputs<F>),
) {
    let mut rng = Rng::with_seed(seed);
    let mut inputs = Inputs {
        z: Vec::new(),
        t: Vec::new(),
        weights: Vec::new(),
    };
    let mut made = 0_u64;
    let mut give = |z: F, t: F, rng: &mut Rng, made: &mut u64, flush: bool| {
        if !flush {
            inputs.push(function, z, t, rng);
            *made += 1;
        }
        if inputs.z.len() == BATCH || (flush && !inputs.z.is_empty()) {
            check(&inputs);
            inputs.clear();
        }
    };
    let listed = listed_logits::<F>();
    let targets = special_targets::<F>();
    for &z in &listed {
        for &t in &targets {
            give(z, t, &mut rng, &mut made, false);
        }
    }
    let edges = edge_logits::<F>();
    // All of them in a run of millions; a fair sample in a small one.
    let stride = (edges.len() as u64 * 18).div_ceil(count.max(1)) as usize;
    for &z in edges.iter().skip(seed as usize % stride).step_by(stride) {
        for &t in &[0.0, 1.0, 0.5, 0.25] {
            give(z, F::from_f64(t), &mut rng, &mut made, false);
        }
        let stationary = stationary_target(z);
        for steps in -2..=2 {
            give(
                z,
                clamp_target(stationary.step(steps)),
                &mut rng,
                &mut made,
                false,
            );
        }
    }
    let spaced = count / 8;
    for i in 0..spaced {
        give(
            spaced_value(i, spaced, f64::INFINITY),
            spaced_target(i),
            &mut rng,
            &mut made,
            false,
        );
    }
    while made < count {
        let (z, t) = random_pair(&mut rng);
        give(z, t, &mut rng, &mut made, false);
    }
    give(
        F::from_f64(0.0),
        F::from_f64(0.0),
        &mut rng,
        &mut made,
        true,
    );
}

fn is_single<F: Format>() -> bool {
    F::MAX_EXPONENT == 127
}

/// |z| from which on the tails are subnormal or gone, per format.
fn tail_range<F: Format>() -> (f64, f64) {
    if is_single::<F>() {
        (80.0, 115.0)
    } else {
        (700.0, 750.0)
    }
}

fn clamp_target<F: Format>(t: F) -> F {
    F::from_f64(t.to_f64().clamp(0.0, 1.0).abs())
}

/// The float nearest sigmoid(z), as well as std's exp has it.
pub fn stationary_target<F: Format>(z: F) -> F {
    let e = (-z.to_f64().abs()).exp();
    F::from_f64(if z.to_f64() > 0.0 {
        1.0 / (1.0 + e)
    } else {
        e / (1.0 + e)
    })
}

/// Special values with their near neighbours, both signs.
fn neighbourhood<F: Format>(centres: &[f64], reach: i64) -> Vec<F> {
    let mut values = Vec::new();
    for &centre in centres {
        for signed in [centre, -centre] {
            let centre = F::from_f64(signed);
            if !centre.to_f64().is_finite() || centre.to_f64() == 0.0 {
                values.push(centre);
            } else {
                values.extend((-reach..=reach).map(|steps| centre.step(steps)));
            }
        }
    }
    values
}

fn listed_logits<F: Format>() -> Vec<F> {
    let smallest = F::from_bits(1).to_f64();
    let mut values = neighbourhood(
        &[
            0.0,
            smallest,
            2.0 * smallest,
            3.0 * smallest,
            2.0_f64.powi(F::MIN_EXPONENT),
            2.0_f64.powi(-F::PRECISION),
            2.0_f64.powi(-F::PRECISION / 2),
            1e-3,
            0.25,
            LN_2 / 2.0,
            0.5,
            LN_2,
            1.0,
            1.5 * LN_2,
            2.0,
            5.0,
            10.0,
            16.635532,
            17.0,
            17.32868,
            20.0,
            36.7368,
            37.42995,
            50.0,
            87.33654,
            87.33655,
            88.02969,
            88.72284,
            95.0,
            100.0,
            103.27893,
            103.97208,
            104.0,
            110.0,
            300.0,
            708.3964185322641,
            709.782712893384,
            710.0,
            744.4400719213812,
            745.1332191019411,
            746.0,
            800.0,
            1e4,
            1e7,
            16777216.0,
            1e10,
            1e20,
            1e30,
            3.0e38,
            1e300,
            1.7e308,
            f64::INFINITY,
        ],
        2,
    );
    values.push(F::from_f64(f64::NAN));
    values.extend([F::from_bits(0), F::from_f64(-0.0)]);
    let largest = F::from_f64(f64::INFINITY).step(-1);
    values.extend([largest, largest.step(-1), F::from_f64(-largest.to_f64())]);
    values
}

fn special_targets<F: Format>() -> Vec<F> {
    let smallest = F::from_bits(1).to_f64();
    let mut values: Vec<F> = neighbourhood(
        &[
            smallest,
            2.0_f64.powi(F::MIN_EXPONENT),
            1e-30,
            1e-10,
            2.0_f64.powi(-F::PRECISION),
            1e-3,
            0.1,
            0.25,
            1.0 / 3.0,
            0.4,
            0.5,
            0.6,
            0.75,
            0.89,
            0.9,
            0.99,
            1.0,
        ],
        2,
    );
    values.push(F::from_f64(0.0));
    values.retain(|t| (0.0..=1.0).contains(&t.to_f64()) && t.to_f64().is_sign_positive());
    values
}

/// Binade edges, range-reduction boundaries (multiples of ln2 / 2) and a net over the tails.
fn edge_logits<F: Format>() -> Vec<F> {
    let (from, to) = tail_range::<F>();
    let mut centres: Vec<f64> = (-F::PRECISION - 1 + F::MIN_EXPONENT + 2..=F::MAX_EXPONENT)
        .map(|k| 2.0_f64.powi(k))
        .collect();
    centres.extend((1..=(2.0 * to / LN_2) as i32).map(|k| f64::from(k) * LN_2 / 2.0));
    centres.extend((0..2000).map(|k| from + (to - from) * f64::from(k) / 2000.0));
    neighbourhood(&centres, 3)
}

/// The i-th of n values evenly spaced over the bit patterns of [-limit, limit].
fn spaced_value<F: Format>(i: u64, n: u64, limit: f64) -> F {
    let top = F::from_f64(limit).to_ordinal() as i128;
    let ordinal = -top + 2 * top * i128::from(i) / i128::from(n.max(1));
    F::from_bits(0).step(ordinal as i64)
}

/// The i-th of a golden-ratio sequence over the bit patterns of [0, 1].
fn spaced_target<F: Format>(i: u64) -> F {
    let top = F::from_f64(1.0).to_ordinal() as u128;
    let fraction = u128::from(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    F::from_bits(((fraction * (top + 1)) >> 64) as u64)
}

/// A random pair: one of ten kinds of logit with one of ten kinds of target.
pub fn random_pair<F: Format>(rng: &mut Rng) -> (F, F) {
    let z = random_logit::<F>(rng);
    let few = |rng: &mut Rng| i64::from(rng.u8(..8)) - 4;
    let t = match rng.u8(..10) {
        0 | 1 => F::from_f64(rng.f64()),
        2 => F::from_f64(f64::from(rng.u8(..5)) * 0.25),
        3 => F::from_f64(1.0).step(-i64::from(rng.u8(..8))),
        4 => F::from_bits(rng.u64(..8)),
        5 | 6 => stationary_target(z).step(few(rng)),
        7 => F::from_f64((-rng.f64() * tail_range::<F>().1).exp()),
        8 => F::from_f64(1.0 - (-rng.f64() * f64::from(F::PRECISION)).exp2()),
        // Few significant bits, so that t z is short and the loss near representable numbers and midpoints.
        _ => F::from_f64(f64::from(rng.u16(..)) / 65536.0),
    };
    (z, clamp_target(t))
}

fn random_logit<F: Format>(rng: &mut Rng) -> F {
    let sign = if rng.bool() { 1.0 } else { -1.0 };
    let (from, to) = tail_range::<F>();
    let magnitude = match rng.u8(..10) {
        0 | 1 => rng.f64() * 8.0,
        2 => rng.f64() * 40.0,
        3 => from + rng.f64() * (to - from),
        4 => {
            let boundary = F::from_f64((f64::from(rng.u16(..) % (1.5 * to) as u16) + 0.5) * LN_2);
            boundary.step(i64::from(rng.u8(..16)) - 8).to_f64()
        }
        5 => (-rng.f64() * f64::from(2 * F::PRECISION)).exp2(),
        6 => f64::from(rng.u16(..)) / 256.0,
        7 => rng.f64() * from,
        8 => (rng.f64() * 20.0).exp2(),
        // Any finite bits: half of them tiny, subnormals and the huge included.
        _ => {
            let top = F::from_f64(f64::INFINITY).to_bits();
            F::from_bits(rng.u64(..top)).to_f64()
        }
    };
    F::from_f64(sign * magnitude)
}

/// A pair for which t z, or (1 - t) z, is exactly half-way between two floats, while the logarithm
/// adds less than the last place of f64: the loss is just above the midpoint.
pub fn midpoint_pair<F: Format>(rng: &mut Rng) -> (F, F) {
    let factor = 2 * rng.u64(1..16) + 1;
    let quotient_limit = 1 << (F::PRECISION - 1);
    loop {
        // factor * quotient has PRECISION + 1 bits and is odd.
        let lowest = (1_u64 << F::PRECISION).div_ceil(factor);
        let quotient = rng.u64(lowest..(2_u64 << F::PRECISION) / factor) | 1;
        if quotient >= quotient_limit {
            continue;
        }
        let share = quotient as f64 * 2.0_f64.powi(-F::PRECISION + 1) / 2.0;
        // |z| from 17 to 272: from where e^-z is half an ulp of 1 to where it is nothing.
        let mut z = factor as f64;
        while z < 17.0 {
            z *= 2.0;
        }
        z *= f64::from(1_u8 << rng.u8(..3));
        return if rng.bool() {
            (F::from_f64(-z), F::from_f64(share))
        } else {
            (F::from_f64(z), F::from_f64(1.0 - share))
        };
    }
}
