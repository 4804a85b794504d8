//! The linear head against MPFR: what a gradient, a loss and a Gram matrix of exact arithmetic are, within
//! bounds that follow from the roundings of the logit, `src/accuracy.md` and the grid of the sums.

use rug::Float;
use soft_bce::linear::{
    ColumnScale, ColumnSum, Factor, Features, Head, gradient_scratch, gram_length, gram_scratch,
    scan,
};
use soft_bce::{Bce, LossSum, Real};

const PRECISION: u32 = 300;

/// Of residuals, Hessians and losses, in units of the last place of the largest number in their formula; more
/// than `src/accuracy.md` allows any of them.
const BUDGET: f64 = 4.0;

trait Element: Real {
    /// Half a unit in the last place of 1.
    const ROUNDOFF: f64;
    fn of(value: f64) -> Self;
    fn to(self) -> f64;
}
impl Element for f32 {
    const ROUNDOFF: f64 = f32::EPSILON as f64 / 2.0;
    fn of(value: f64) -> Self {
        value as f32
    }
    fn to(self) -> f64 {
        self.into()
    }
}
impl Element for f64 {
    const ROUNDOFF: f64 = f64::EPSILON / 2.0;
    fn of(value: f64) -> Self {
        value
    }
    fn to(self) -> f64 {
        self
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 * 2f64.powi(-53)
    }
}

fn float(value: f64) -> Float {
    Float::with_val(PRECISION, value)
}

/// An exact value and the error that is allowed.
struct Expected {
    value: Float,
    error: f64,
}

impl Expected {
    fn zero() -> Self {
        Self {
            value: float(0.0),
            error: 0.0,
        }
    }

    fn admits(&self, found: f64) -> bool {
        let difference = (float(found) - &self.value).abs();
        // `to_f64` rounds once more, and so do the sums of errors here.
        difference <= self.error * 1.001 + found.abs() * f64::EPSILON
    }
}

struct Data<T> {
    rows: usize,
    columns: usize,
    x: Vec<T>,
    t: Vec<T>,
    offset: Vec<T>,
    coefficients: Vec<T>,
    intercept: T,
    temperature: T,
}

/// What the crate makes of them: loss, gradient with the intercept's, Gram matrix, predictions.
struct Computed<T> {
    loss: f64,
    gradient: Vec<ColumnSum>,
    gram: Vec<ColumnSum>,
    p: Vec<T>,
}

impl<T: Element> Data<T> {
    fn new(rows: usize, columns: usize, temperature: f64, seed: u64) -> Self {
        let mut random = Random(seed);
        let mut some = |count: usize, size: &dyn Fn(usize) -> f64| -> Vec<T> {
            (0..count)
                .map(|i| T::of((random.unit() * 2.0 - 1.0) * size(i)))
                .collect()
        };
        // Columns of all magnitudes, which the coefficients undo.
        let size = |column: usize| 2f64.powi((column * 37 % 61) as i32 - 30);
        let per_column = 6.0 / (columns.max(1) as f64).sqrt();
        Self {
            rows,
            columns,
            x: some(rows * columns, &|i| size(i % columns)),
            t: some(rows, &|_| 1.0)
                .into_iter()
                .map(|t| T::of(t.to().abs()))
                .collect(),
            offset: some(rows, &|_| 1.0),
            coefficients: some(columns, &|column| per_column / size(column)),
            intercept: T::of(0.3),
            temperature: T::of(temperature),
        }
    }

    fn compute(&self) -> Computed<T> {
        let x =
            Features::rows(&self.x[..self.rows * self.columns], self.rows, self.columns).unwrap();
        let mut scales = vec![ColumnScale::ZERO; self.columns];
        scan(&x, &mut scales).unwrap();
        let head = Head::new(&self.coefficients)
            .intercept(self.intercept)
            .offset(&self.offset[..self.rows])
            .bce(match self.temperature.to() {
                1.0 => Bce::new(),
                _ => Bce::new().temperature(self.temperature),
            });
        let width = head.width();
        let mut gradient = vec![ColumnSum::default(); width];
        let mut gram = vec![ColumnSum::default(); gram_length(width)];
        head.start_gradient(&scales, head.residual_scale().unwrap(), &mut gradient)
            .unwrap();
        head.start_gram(&scales, head.hessian_scale().unwrap(), &mut gram)
            .unwrap();
        let mut loss = LossSum::new();
        let mut scratch = vec![0.0; gradient_scratch(width)];
        head.sum_gradient(
            &x,
            &self.t[..self.rows],
            &mut loss,
            &mut gradient,
            &mut scratch,
        )
        .unwrap();
        let mut scratch = vec![0.0; gram_scratch(width)];
        head.gram(
            &x,
            &self.t[..self.rows],
            Factor::Hessian,
            &mut gram,
            &mut scratch,
        )
        .unwrap();
        let mut p = vec![T::of(0.0); self.rows];
        head.predict(&x, &mut p).unwrap();
        Computed {
            loss: loss.to_f64(),
            gradient,
            gram,
            p,
        }
    }

    /// The same in exact arithmetic, with what the sums' grids allow.
    fn expect(&self, computed: &Computed<T>) -> [Vec<Expected>; 4] {
        let Computed { gradient, gram, .. } = computed;
        let grid = |sum: &ColumnSum| Expected {
            value: float(0.0),
            error: self.rows as f64 * 2f64.powi(sum.unit_exponent() - 1),
        };
        let (mut of_loss, mut of_p) = (Expected::zero(), Vec::new());
        let mut of_gradient: Vec<_> = gradient.iter().map(grid).collect();
        let mut of_gram: Vec<_> = gram.iter().map(grid).collect();
        let u = T::ROUNDOFF;
        for row in 0..self.rows {
            let mut x: Vec<f64> = self.x[row * self.columns..][..self.columns]
                .iter()
                .map(|x| x.to())
                .collect();
            let (mut z, mut size) = (float(0.0), 0.0);
            for (x, b) in x.iter().zip(&self.coefficients) {
                z += float(*x) * b.to();
                size += (x * b.to()).abs();
            }
            let constants = [self.intercept.to(), self.offset[row].to()];
            for constant in constants {
                z += constant;
                size += constant.abs();
            }
            // FMAs of a partial sum, four levels of the tree, two constants.
            let roundings = (self.columns.div_ceil(16) + 6) as f64;
            let of_z = roundings * u / (1.0 - roundings * u) * size;
            let temperature = self.temperature.to();
            let (z, of_z) = (z / temperature, of_z / temperature);
            let (t, one) = (self.t[row].to(), float(1.0));
            let s = float(1.0) / (float(1.0) + Float::with_val(PRECISION, -&z).exp());
            let loss = Float::with_val(PRECISION, z.exp_ref()).ln_1p() - float(t) * &z;
            let h = Float::with_val(PRECISION, &s * (one - &s));
            let r = (float(0.0) + &s - t) / temperature;
            let h = h / temperature / temperature;
            // Twice the roundoff is a unit in the last place, of numbers that are at most these.
            let unit = BUDGET * 2.0 * u;
            of_loss.error += of_z + unit * (loss.to_f64().abs() + z.to_f64().abs());
            of_loss.value += loss;
            let of_r = (of_z / 4.0 + unit) / temperature;
            let of_h = of_z / 10.0 / temperature / temperature + unit * h.to_f64();
            // The derivative of the sigmoid is less than it.
            of_p.push(Expected {
                error: (of_z * of_z.exp() + unit) * s.to_f64(),
                value: s,
            });
            x.push(1.0);
            for (j, &x_j) in x.iter().enumerate() {
                let product = Float::with_val(PRECISION, &r * x_j);
                let odd = product.to_f64().abs() * f64::EPSILON;
                of_gradient[j].error += x_j.abs() * of_r + odd;
                of_gradient[j].value += product;
                for (k, &x_k) in x.iter().enumerate().take(j + 1) {
                    let sum = &mut of_gram[j * (j + 1) / 2 + k];
                    let product = Float::with_val(PRECISION, &h * x_j) * x_k;
                    // The odd bit, and the rounding of h x_j.
                    let odd = product.to_f64().abs() * 1.5 * f64::EPSILON;
                    sum.error += (x_j * x_k).abs() * of_h + odd;
                    sum.value += product;
                }
            }
        }
        [vec![of_loss], of_gradient, of_gram, of_p]
    }

    /// What is not as expected.
    fn faults(&self, computed: &Computed<T>) -> Vec<String> {
        let of = |sums: &[ColumnSum]| sums.iter().map(ColumnSum::to_f64).collect();
        let found: [Vec<f64>; 4] = [
            vec![computed.loss],
            of(&computed.gradient),
            of(&computed.gram),
            computed.p.iter().map(|p| p.to()).collect(),
        ];
        let names = ["loss", "gradient", "gram", "prediction"];
        let mut faults = Vec::new();
        for ((name, found), expected) in names.into_iter().zip(found).zip(self.expect(computed)) {
            if found.len() != expected.len() {
                faults.push(format!("{name}: {} of {}", found.len(), expected.len()));
            }
            for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
                if !expected.admits(*found) {
                    let Expected { value, error } = expected;
                    faults.push(format!("{name} {index}: {found}, {value} +- {error}"));
                }
            }
        }
        faults
    }
}

fn check<T: Element>() {
    for (seed, columns) in [0, 1, 3, 16, 23, 50].into_iter().enumerate() {
        for temperature in [1.0, 0.3, 7.0] {
            let data = Data::<T>::new(60, columns, temperature, seed as u64);
            let computed = data.compute();
            assert_eq!(
                data.faults(&computed),
                Vec::<String>::new(),
                "{columns} columns, temperature {temperature}"
            );
        }
    }
}

#[test]
fn single_precision_is_within_its_bounds() {
    check::<f32>();
}

#[test]
fn double_precision_is_within_its_bounds() {
    check::<f64>();
}

/// That the bounds are tight enough to see a fault: a row left out, one feature of 1,380 changed by a
/// thousandth, or in `f64` by a thousand-millionth.
#[test]
fn faults_are_seen() {
    let mut data = Data::<f64>::new(60, 23, 0.75, 7);
    let computed = data.compute();
    assert!(data.faults(&computed).is_empty());
    data.rows -= 1;
    let fewer = data.compute();
    data.rows += 1;
    assert!(data.faults(&fewer).len() > 20);
    data.x[700] *= 1.0 + 1e-9;
    assert!(!data.faults(&computed).is_empty());
    let mut data = Data::<f32>::new(60, 23, 1.0, 7);
    let computed = data.compute();
    data.x[700] *= 1.001;
    assert!(!data.faults(&computed).is_empty());
    // Another temperature: everything differs.
    let mut data = Data::<f32>::new(60, 23, 0.75, 7);
    let computed = data.compute();
    assert!(data.faults(&computed).is_empty());
    data.temperature *= 1.001;
    assert!(data.faults(&computed).len() > 100);
}
