//! Every backend gives the bits of `Scalar`: for every length, offset and option.

use soft_bce::{Backend, Bce, Error, LossSum, Real};

/// xorshift64*; the corpus must be the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    /// In [0, 1), in steps of 2^-24.
    fn unit(&mut self) -> f64 {
        (self.next() >> 40) as f64 / (1 << 24) as f64
    }
}

/// The element types, and what the tests need of them.
trait Element: Real + core::fmt::Debug {
    const EDGES: &'static [Self];
    fn from_f64(value: f64) -> Self;
    fn bits(self) -> u64;
    fn from_random(bits: u64) -> Self;
}

macro_rules! element {
    ($real:ident, $bits:ident, $edges:expr) => {
        impl Element for $real {
            const EDGES: &'static [Self] = &$edges;
            fn from_f64(value: f64) -> Self {
                value as $real
            }
            /// All NaN count as one: payloads are not part of the contract.
            fn bits(self) -> u64 {
                u64::from(if self.is_nan() {
                    $real::NAN.to_bits()
                } else {
                    self.to_bits()
                })
            }
            fn from_random(bits: u64) -> Self {
                $real::from_bits(bits as $bits)
            }
        }
    };
}

element!(
    f32,
    u32,
    [
        0.0,
        -0.0,
        f32::from_bits(1),
        -f32::from_bits(1),
        f32::MIN_POSITIVE,
        0.5,
        -1.0,
        20.0,
        43.5,
        -43.500004,
        87.336_54,
        -87.336_55,
        88.7,
        -95.0,
        103.9,
        103.972_08,
        -103.972_085,
        -104.0,
        104.00001,
        -200.0,
        f32::MAX,
        f32::MIN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
    ]
);
element!(
    f64,
    u64,
    [
        0.0,
        -0.0,
        f64::from_bits(1),
        -f64::from_bits(1),
        f64::MIN_POSITIVE,
        0.5,
        -1.0,
        40.0,
        354.0,
        -354.000_000_000_000_06,
        708.396_418_532_264,
        -708.396_418_532_264_2,
        -720.0,
        745.133,
        -745.134,
        745.5,
        -746.0,
        1e10,
        f64::MAX,
        f64::MIN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ]
);

struct Corpus<T> {
    z: Vec<T>,
    t: Vec<T>,
    w: Vec<T>,
}

/// Ordinary logits with, about once in `rarity`, an edge or a random bit pattern.
fn corpus<T: Element>(length: usize, seed: u64, rarity: u64) -> Corpus<T> {
    let mut random = Random(seed);
    let mut corpus = Corpus {
        z: Vec::new(),
        t: Vec::new(),
        w: Vec::new(),
    };
    for _ in 0..length {
        corpus.z.push(match random.next() % rarity {
            0 => T::EDGES[random.next() as usize % T::EDGES.len()],
            1 => T::from_random(random.next()),
            _ => T::from_f64((random.unit() + random.unit() + random.unit() - 1.5) * 8.0),
        });
        corpus.t.push(match random.next() % 8 {
            0 => T::from_f64(0.0),
            1 => T::from_f64(1.0),
            2 => T::from_f64(-0.0),
            3 => T::from_f64(random.unit() * 1e-30),
            _ => T::from_f64(random.unit()),
        });
        corpus.w.push(T::from_f64(match random.next() % 4 {
            0 => 0.0,
            _ => random.unit() * 4.0,
        }));
    }
    corpus
}

fn bits<T: Element>(values: &[T]) -> Vec<u64> {
    values.iter().map(|x| x.bits()).collect()
}

/// All that the entry points compute on these inputs, as bits.
fn everything<T: Element>(backend: Backend, z: &[T], t: &[T], w: &[T]) -> Vec<u64> {
    let plain = Bce::new().backend(backend).unwrap();
    let shaped = plain
        .pos_weight(T::from_f64(3.0))
        .label_smoothing(T::from_f64(0.1));
    let mut all = Vec::new();
    let excess = plain.excess();
    for bce in [
        plain,
        plain.weights(w),
        shaped,
        shaped.weights(w),
        excess,
        excess.weights(w),
    ] {
        let fresh = || vec![T::from_f64(7.0); z.len()];
        let (mut loss, mut g, mut h, mut again) = (fresh(), fresh(), fresh(), fresh());
        bce.loss(z, t, &mut loss).unwrap();
        let sum = bce.sum_gradient_hessian(z, t, &mut g, &mut h).unwrap();
        all.push(sum.bits());
        all.extend([&loss, &g, &h].into_iter().flat_map(|v| bits(v)));

        // Every entry point that computes the same agrees.
        let mut exact = LossSum::new();
        loss.iter().for_each(|&x| exact.add(f64_of(x)));
        assert_eq!(sum.bits(), exact.to_f64().bits(), "sum of the losses");
        assert_eq!(sum.bits(), bce.sum(z, t).unwrap().bits());
        let mut total = LossSum::new();
        bce.accumulate(z, t, &mut total).unwrap();
        assert_eq!(total, exact);

        let repeated = bce.sum_gradient(z, t, &mut again).unwrap();
        assert_eq!((sum.bits(), bits(&g)), (repeated.bits(), bits(&again)));
        bce.gradient(z, t, &mut again).unwrap();
        assert_eq!(bits(&g), bits(&again));
        again.copy_from_slice(z);
        bce.gradient_in_place(&mut again, t).unwrap();
        assert_eq!(bits(&g), bits(&again));
        let mut h_again = fresh();
        bce.gradient_hessian(z, t, &mut again, &mut h_again)
            .unwrap();
        assert_eq!((bits(&g), bits(&h)), (bits(&again), bits(&h_again)));

        match bce.mean_gradient(z, t, &mut again) {
            Ok(mean) => {
                assert_eq!(mean.bits(), bce.mean(z, t).unwrap().bits());
                all.push(mean.bits());
                all.extend(bits(&again));
            }
            Err(error) => assert_eq!(error, Error::Empty),
        }
    }
    all
}

/// Exact; `Real` itself does not show its conversions.
fn f64_of<T: Element>(value: T) -> f64 {
    if size_of::<T>() == 4 {
        f64::from(f32::from_bits(value.bits() as u32))
    } else {
        f64::from_bits(value.bits())
    }
}

fn compare<T: Element>() {
    let available: Vec<_> = Backend::available().collect();
    // Every so many lengths, where an emulator is too slow for all of them.
    let every = std::env::var("SOFT_BCE_EVERY").map_or(1, |every| every.parse().expect("a number"));
    for rarity in [3, 40, 1000] {
        let corpus = corpus::<T>(520, 7 + rarity, rarity);
        let lengths = (0..=200).chain([255, 256, 257, 272, 511, 512]);
        for length in lengths.step_by(every) {
            for offset in 0..if length % 7 == 0 { 4 } else { 1 } {
                let range = offset..offset + length;
                let z = &corpus.z[range.clone()];
                let t = &corpus.t[range.clone()];
                let w = &corpus.w[range];
                let reference = everything(Backend::Scalar, z, t, w);
                for &backend in &available {
                    assert!(
                        everything(backend, z, t, w) == reference,
                        "{} differs at length {length}, offset {offset}",
                        backend.name()
                    );
                }
            }
        }
    }
}

#[test]
fn every_backend_gives_the_bits_of_scalar_f32() {
    compare::<f32>();
}

#[test]
fn every_backend_gives_the_bits_of_scalar_f64() {
    compare::<f64>();
}

/// A backend that the machine has but the tests would not run must not pass in silence.
#[test]
fn the_backends_of_this_machine_are_all_run() {
    let run: Vec<_> = Backend::available().map(Backend::name).collect();
    println!("backends run: {}", run.join(", "));
    assert!(run.contains(&"scalar"));
    #[cfg(target_arch = "x86_64")]
    {
        assert!(run.contains(&"wide"));
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let avx512 = avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        assert_eq!(run.contains(&"avx2"), avx2);
        assert_eq!(run.contains(&"avx512"), avx512);
    }
}
