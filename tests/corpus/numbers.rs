//! Numbers at the edges, and numbers at random.

use super::Format;
use super::known::{NEGATIVE_ZERO_WEIGHT, NO_TARGET_WITHOUT_WEIGHT, is_pending};
use core::f64::consts::LN_2;

/// SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers everywhere.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// From 0 to `limit` - 1.
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(limit)) >> 64) as u64
    }

    /// In [0, 1), in steps of 2^-53.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From -`reach` to `reach`.
    fn steps(&mut self, reach: u64) -> i64 {
        self.below(2 * reach + 1) as i64 - reach as i64
    }
}

/// Magnitudes of logits where the kernel changes its method, or its result changes its kind.
const LOGITS: [f64; 68] = [
    0.0,
    1e-16,
    6e-8,
    1e-3,
    LN_2 / 16.0,
    LN_2 / 8.0,
    0.25,
    LN_2 / 2.0,
    0.5,
    LN_2,
    1.0,
    1.5 * LN_2,
    2.0,
    5.0,
    10.0,
    16.635_532,
    17.0,
    17.328_68,
    20.0,
    36.736_8,
    37.429_95,
    40.0,
    43.5,
    50.0,
    86.5,
    87.336_54,
    87.336_55,
    88.029_69,
    88.7,
    88.722_84,
    95.0,
    100.0,
    103.278_93,
    103.9,
    103.972_08,
    104.0,
    110.0,
    200.0,
    300.0,
    353.0,
    354.0,
    // e lacked nothing there, by an earlier table, so that e^2 alone was subnormal.
    357.959_653_997_137_37,
    434.873_015_552_888_03,
    458.468_021_521_474_67,
    // It lacks next to nothing.
    635.833_630_829_874_2,
    639.913_770_692_901_6,
    640.0,
    708.396_418_532_264_1,
    709.782_712_893_384,
    710.0,
    720.0,
    744.440_071_921_381_2,
    745.133_219_101_941_1,
    745.134,
    745.5,
    746.0,
    800.0,
    1e4,
    1e7,
    16_777_216.0,
    1e10,
    1e20,
    1e30,
    3.0e38,
    1e300,
    1.7e308,
    f64::INFINITY,
    f64::NAN,
];

const TARGETS: [f64; 16] = [
    0.0,
    -0.0,
    1.0,
    1e-30,
    1e-10,
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
];

const WEIGHTS: [f64; 7] = [0.0, -0.0, 1.0, 1e-30, 0.25, 3.0, 1e30];

/// Where the format ends or its spacing changes, in [0, ∞), and below 1 but for the last.
fn landmarks<T: Format>() -> [T; 7] {
    [
        T::from_bits(1),
        T::from_bits(2),
        T::from_bits(3),
        T::power_of_two(T::MIN_EXPONENT),
        T::power_of_two(-T::PRECISION),
        T::power_of_two(-T::PRECISION / 2),
        T::from_f64(f64::INFINITY).step(-1),
    ]
}

fn listed<T: Format>(list: &'static [f64]) -> impl Iterator<Item = T> + Clone {
    list.iter().map(|&x| T::from_f64(x)).chain(landmarks())
}

/// The magnitudes of logits that matter.
pub fn logits<T: Format>() -> impl Iterator<Item = T> + Clone {
    listed(&LOGITS)
}

/// Targets that matter, in [0, 1].
pub fn targets<T: Format>() -> impl Iterator<Item = T> + Clone {
    listed(&TARGETS).filter(|t: &T| t.to_f64() <= 1.0)
}

/// Weights that matter; the largest are as far as sums go.
pub fn weights<T: Format>() -> impl Iterator<Item = T> + Clone {
    listed(&WEIGHTS).map(|w: T| {
        if w.to_f64() == 0.0 && is_pending(NEGATIVE_ZERO_WEIGHT) {
            T::from_f64(0.0)
        } else {
            w
        }
    })
}

/// What is no target; the first two are as near as can be.
pub fn no_targets<T: Format>() -> [T; 9] {
    let of = T::from_f64;
    [
        T::from_bits(1).negated(),
        of(1.0).step(1),
        of(f64::NAN),
        of(f64::INFINITY),
        of(f64::NEG_INFINITY),
        of(-1.0),
        of(2.0),
        of(255.0),
        of(-100.0),
    ]
}

/// What is no weight.
pub fn no_weights<T: Format>() -> [T; 5] {
    let of = T::from_f64;
    [
        T::from_bits(1).negated(),
        of(f64::NAN),
        of(f64::INFINITY),
        of(f64::NEG_INFINITY),
        of(-1.0),
    ]
}

/// The number with its neighbours up to `reach` steps away, both signs.
pub fn neighbourhood<T: Format>(centre: T, reach: i64) -> impl Iterator<Item = T> + Clone {
    let reach = if centre.to_f64().is_finite() {
        reach
    } else {
        0
    };
    [centre, centre.negated()]
        .into_iter()
        .flat_map(move |centre| (-reach..=reach).map(move |steps| near(centre, steps)))
}

/// So many floats from `centre`, if it is finite; a zero keeps its sign.
pub fn near<T: Format>(centre: T, steps: i64) -> T {
    if steps == 0 || !centre.to_f64().is_finite() {
        centre
    } else {
        centre.step(steps)
    }
}

/// Binade edges, range-reduction boundaries and table points (multiples of ln(2)/16) and a net over the tails.
pub fn edge_logits<T: Format>() -> impl Iterator<Item = T> + Clone {
    let (from, to) = tail_range::<T>();
    let binades = (T::MIN_EXPONENT - T::PRECISION + 1..=T::MAX_EXPONENT).map(T::power_of_two);
    let reductions = (1..=(16.0 * to / LN_2) as i32).map(|k| f64::from(k) * LN_2 / 16.0);
    let net = (0..2000).map(move |k| from + (to - from) * f64::from(k) / 2000.0);
    binades
        .chain(reductions.chain(net).map(T::from_f64))
        .flat_map(|centre| neighbourhood(centre, 3))
}

/// |z| between which the tails become subnormal and then nothing.
pub fn tail_range<T: Format>() -> (f64, f64) {
    if T::MAX_EXPONENT == 127 {
        (80.0, 115.0)
    } else {
        (700.0, 750.0)
    }
}

/// The float nearest to sigmoid(z), or next to that: there the gradient cancels.
pub fn stationary_target<T: Format>(z: T) -> T {
    clamp_target(z.logistic())
}

/// One with which the loss is next to a power of two, if there is one: rounded up across it, a result is off by more
/// of the smaller unit below.
pub fn target_of_a_power<T: Format>(z: T, random: &mut Random) -> T {
    let logit = z.to_f64();
    let log = soft_bce::scalar::softplus(-logit.abs());
    let power = f64::from_bits(((log.to_bits() >> 52) + 1 + random.below(3)) << 52);
    let share = (power - log) / logit.abs();
    let t = if logit < 0.0 { share } else { 1.0 - share };
    clamp_target(near(T::from_f64(t), random.steps(16)))
}

/// One in quarters of the unit of the last place of sigmoid(z), which subtracting it rounds off.
pub fn target_below_the_last_place<T: Format>(z: T, random: &mut Random) -> T {
    let sigmoid = z.logistic();
    let unit = sigmoid.to_f64() - sigmoid.step(-1).to_f64();
    let t = T::from_f64(unit * random.below(16) as f64 / 4.0);
    clamp_target(near(t, random.steps(2)))
}

/// The nearest target; of NaN, 1/2.
pub fn clamp_target<T: Format>(t: T) -> T {
    let value = t.to_f64();
    T::from_f64(if value.is_nan() {
        0.5
    } else {
        value.clamp(0.0, 1.0)
    })
}

/// The i-th of n values evenly spaced over the bit patterns from -∞ to ∞.
pub fn spaced_logit<T: Format>(i: u64, n: u64) -> T {
    let top = i128::from(T::from_f64(f64::INFINITY).to_ordinal());
    let ordinal = -top + 2 * top * i128::from(i) / i128::from(n.max(1));
    T::from_bits(0).step(ordinal as i64)
}

/// The i-th of a golden-ratio sequence over the bit patterns of [0, 1].
pub fn spaced_target<T: Format>(i: u64) -> T {
    let top = u128::from(T::from_f64(1.0).to_bits());
    let fraction = u128::from(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    T::from_bits(((fraction * (top + 1)) >> 64) as u64)
}

fn any_of<T>(mut of: impl Iterator<Item = T> + Clone, random: &mut Random) -> T {
    let count = of.clone().count();
    of.nth(random.below(count as u64) as usize)
        .expect("below the count")
}

/// A logit at random, of eleven kinds; never NaN but for the first.
pub fn random_logit<T: Format>(random: &mut Random) -> T {
    let (from, to) = tail_range::<T>();
    let magnitude = match random.below(11) {
        0 => near(any_of(logits::<T>(), random), random.steps(2)),
        1 | 2 => T::from_f64(random.unit() * 8.0),
        3 => T::from_f64(random.unit() * 40.0),
        4 => T::from_f64(from + random.unit() * (to - from)),
        // Next to a boundary of the range reduction.
        5 => {
            T::from_f64((random.below((1.5 * to) as u64) as f64 + 0.5) * LN_2).step(random.steps(8))
        }
        6 => T::from_parts(
            false,
            -1 - random.below(2 * T::PRECISION as u64) as i32,
            random.bits(),
        ),
        7 => T::from_f64(random.below(1 << 16) as f64 / 256.0),
        8 => T::from_f64(random.unit() * from),
        9 => T::from_parts(false, random.below(20) as i32, random.bits()),
        // Any finite bits: half of them tiny, subnormals and the huge included.
        _ => T::from_bits(random.below(T::from_f64(f64::INFINITY).to_bits())),
    };
    if random.below(2) == 0 {
        magnitude
    } else {
        magnitude.negated()
    }
}

/// A target at random, of thirteen kinds.
pub fn random_target<T: Format>(z: T, random: &mut Random) -> T {
    let one = T::from_f64(1.0);
    clamp_target(match random.below(13) {
        0 => near(any_of(targets::<T>(), random), random.steps(2)),
        1 | 2 => T::from_f64(random.unit()),
        3 => T::from_f64(random.below(5) as f64 * 0.25),
        4 => one.step(-(random.below(8) as i64)),
        5 => T::from_bits(random.below(8)),
        6 | 7 => near(stationary_target(z), random.steps(4)),
        8 => T::from_bits(random.below(one.to_bits() + 1)),
        9 => {
            let exponent = -1 - random.below(T::PRECISION as u64) as i32;
            T::from_f64(1.0 - T::from_parts(false, exponent, random.bits()).to_f64())
        }
        10 => target_of_a_power(z, random),
        11 => target_below_the_last_place(z, random),
        // Few significant bits, so that t z is short and the loss near representable numbers and midpoints.
        _ => T::from_f64(random.below(1 << 16) as f64 / 65536.0),
    })
}

/// A weight at random: 0, 1, of any size, or in [0, 4).
pub fn random_weight<T: Format>(random: &mut Random) -> T {
    match random.below(16) {
        0 => any_of(weights::<T>(), random),
        1 => T::from_f64(0.0),
        2 => T::from_f64(1.0),
        3 | 4 => T::from_parts(false, random.below(200) as i32 - 100, random.bits()),
        _ => T::from_f64(random.unit() * 4.0),
    }
}

/// A logit near N(0, 3), a target uniform in [0, 1).
pub fn typical_pair<T: Format>(random: &mut Random) -> (T, T) {
    let sum: f64 = [(); 4].map(|()| random.unit()).iter().sum();
    (
        T::from_f64((sum - 2.0) * 5.196_152_422_706_632),
        T::from_f64(random.unit()),
    )
}

/// A pair for which t z, or (1 - t) z, is exactly half-way between two floats, while the logarithm
/// adds less than the last place of f64: the loss is just above the midpoint.
pub fn midpoint_pair<T: Format>(random: &mut Random) -> (T, T) {
    let factor = 2 * (1 + random.below(15)) + 1;
    loop {
        // factor * quotient has PRECISION + 1 bits and is odd.
        let lowest = (1_u64 << T::PRECISION).div_ceil(factor);
        let highest = (2_u64 << T::PRECISION) / factor;
        let quotient = (lowest + random.below(highest - lowest)) | 1;
        if quotient >= 1 << (T::PRECISION - 1) {
            continue;
        }
        let share = quotient as f64 * f64::power_of_two(-T::PRECISION);
        // |z| from 17 to 272: from where e^-z is half an ulp of 1 to where it is nothing.
        let mut z = factor as f64;
        while z < 17.0 {
            z *= 2.0;
        }
        z *= (1 << random.below(3)) as f64;
        return if random.below(2) == 0 {
            (T::from_f64(-z), T::from_f64(share))
        } else {
            (T::from_f64(z), T::from_f64(1.0 - share))
        };
    }
}

/// A logit, a target and a weight: ordinary ones, but for about two logits in `rarity`, that are any.
pub fn mixed<T: Format>(rarity: u64, random: &mut Random) -> (T, T, T) {
    let (z, t) = match random.below(rarity) {
        0 => {
            let z = random_logit(random);
            (z, random_target(z, random))
        }
        1 => (
            T::from_bits(random.bits()),
            random_target(T::from_f64(0.0), random),
        ),
        _ => typical_pair(random),
    };
    let t = if random.below(4) == 0 {
        any_of(targets(), random)
    } else {
        t
    };
    (z, t, random_weight(random))
}

/// The target, or what is none where there is no weight: a call with weights does not look at it.
pub fn masked<T: Format>(t: T, w: T, random: &mut Random) -> T {
    if w.to_f64() == 0.0 && !is_pending(NO_TARGET_WITHOUT_WEIGHT) {
        any_of(no_targets().into_iter(), random)
    } else {
        t
    }
}
