//! The linear head against its definition, written once more, element by element, and against itself: in
//! other orders, parts, layouts and on other backends.

use soft_bce::linear::{
    ColumnScale, ColumnSum, Factor, Features, Head, gradient_gram_scratch, gradient_scratch,
    gram_length, gram_scratch, merge, scan,
};
use soft_bce::{Backend, Bce, Error, Focal, LossSum, Real, SquaredError, scalar};

/// What the definition needs of an element type.
trait Element: Real + std::fmt::Debug {
    fn of(value: f64) -> Self;
    fn to(self) -> f64;
    fn fused(self, factor: Self, addend: Self) -> Self;
    fn plus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    fn bits(self) -> u64;
    const EPSILON: f64;
}

macro_rules! element {
    ($real:ident) => {
        impl Element for $real {
            fn of(value: f64) -> Self {
                value as $real
            }
            fn to(self) -> f64 {
                f64::from(self)
            }
            fn fused(self, factor: Self, addend: Self) -> Self {
                self.mul_add(factor, addend)
            }
            fn plus(self, other: Self) -> Self {
                self + other
            }
            fn times(self, other: Self) -> Self {
                self * other
            }
            fn bits(self) -> u64 {
                u64::from(self.to_bits())
            }
            const EPSILON: f64 = $real::EPSILON as f64;
        }
    };
}
element!(f32);
element!(f64);

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// In [0, 1).
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 * 2f64.powi(-53)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// A data set with what makes trouble in it: zeros, integers, tiny and subnormal numbers, columns of
/// different magnitudes.
struct Data<T> {
    rows: usize,
    columns: usize,
    x: Vec<T>,
    t: Vec<T>,
    weights: Vec<T>,
    offset: Vec<T>,
    coefficients: Vec<T>,
}

impl<T: Element> Data<T> {
    fn new(rows: usize, columns: usize, seed: u64) -> Self {
        let mut random = Random(seed);
        let size = |column: usize| 2f64.powi((column % 20) as i32 * 10 - 100);
        let mut x = Vec::new();
        for _ in 0..rows {
            for column in 0..columns {
                let normal = random.unit() + random.unit() + random.unit() - 1.5;
                let value = match random.below(50) {
                    0..5 => 0.0,
                    5..10 => (normal * 8.0).round(),
                    10 => normal * 1e-10,
                    11 => 2f64.powi(30 - random.below(20) as i32),
                    _ => normal * 2.0,
                };
                let subnormal = random.below(200) == 0;
                x.push(if subnormal {
                    T::of(1e-40 * normal)
                } else {
                    T::of(value * size(column))
                });
            }
        }
        let per_column = 4.0 / (columns.max(1) as f64).sqrt();
        let coefficients = (0..columns)
            .map(|column| T::of((random.unit() - 0.5) * per_column / size(column)))
            .collect();
        let mut column = |make: fn(&mut Random) -> f64| -> Vec<T> {
            (0..rows).map(|_| T::of(make(&mut random))).collect()
        };
        Self {
            rows,
            columns,
            x,
            t: column(|random| match random.below(4) {
                0 => 0.0,
                1 => 1.0,
                _ => random.unit(),
            }),
            weights: column(|random| match random.below(8) {
                0 => 0.0,
                1 => -0.0,
                _ => random.unit() * 5.0,
            }),
            offset: column(|random| random.unit() - 0.5),
            coefficients,
        }
    }

    fn rows_of(&self, order: &[usize]) -> Self {
        let pick = |of: &[T]| order.iter().map(|&row| of[row]).collect();
        let row = |&row: &usize| &self.x[row * self.columns..(row + 1) * self.columns];
        Self {
            rows: order.len(),
            columns: self.columns,
            x: order.iter().flat_map(row).copied().collect(),
            t: pick(&self.t),
            weights: pick(&self.weights),
            offset: pick(&self.offset),
            coefficients: self.coefficients.clone(),
        }
    }

    fn features(&self) -> Features<'_, T> {
        Features::rows(&self.x, self.rows, self.columns).unwrap()
    }

    fn columns(&self) -> Vec<Vec<T>> {
        let column = |j: usize| (0..self.rows).map(move |i| self.x[i * self.columns + j]);
        (0..self.columns).map(|j| column(j).collect()).collect()
    }

    fn scales(&self) -> Vec<ColumnScale> {
        let mut scales = vec![ColumnScale::ZERO; self.columns];
        scan(&self.features(), &mut scales).unwrap();
        scales
    }

    fn bce(&self, options: Options) -> Bce<'_, T> {
        let bce = options.mode.of(&self.weights);
        bce.backend(options.backend).unwrap()
    }

    fn head(&self, options: Options) -> Head<'_, T> {
        let mut head = Head::new(&self.coefficients);
        if options.mode != Mode::Plain {
            head = head.intercept(T::of(-0.25)).offset(&self.offset);
        }
        head.bce(self.bce(options))
    }
}

#[derive(Clone, Copy)]
struct Options {
    mode: Mode,
    backend: Backend,
}

/// Which options of the loss; all but the plain one with weights, offset and intercept.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Plain,
    Everything,
    Temperature,
    Teacher,
}

impl Mode {
    const ALL: [Self; 4] = [
        Self::Plain,
        Self::Everything,
        Self::Temperature,
        Self::Teacher,
    ];

    fn of<T: Element>(self, weights: &[T]) -> Bce<'_, T> {
        let bce = Bce::new();
        let shaped =
            |bce: Bce<'static, T>| bce.pos_weight(T::of(3.0)).label_smoothing(T::of(0.125));
        match self {
            Self::Plain => bce,
            Self::Everything => shaped(bce).weights(weights),
            Self::Temperature => shaped(bce).temperature(T::of(0.3)).weights(weights),
            Self::Teacher => bce
                .logit_targets()
                .temperature(T::of(1.75))
                .weights(weights),
        }
    }
}

/// Everything that the head computes of a data set.
#[derive(Clone, PartialEq, Debug)]
struct Results {
    loss: LossSum,
    gradient: Vec<ColumnSum>,
    hessian_vector: Vec<ColumnSum>,
    gram: Vec<ColumnSum>,
    sandwich: Vec<ColumnSum>,
    /// Of columns times Hessians, and times squared residuals.
    hessians: Vec<ColumnSum>,
    squares: Vec<ColumnSum>,
}

/// What the sums of all parts of a data set share.
struct Scales {
    columns: Vec<ColumnScale>,
    residual: ColumnScale,
    hessian: ColumnScale,
    squared: ColumnScale,
    hessian_vector: ColumnScale,
}

impl Scales {
    fn new<T: Element>(data: &Data<T>, options: Options) -> Self {
        let (columns, head) = (data.scales(), data.head(options));
        let residual = head.residual_scale().unwrap();
        let direction = direction(data, options);
        Self {
            residual,
            hessian: head.hessian_scale().unwrap(),
            squared: ColumnScale::of(residual.bound().powi(2)).unwrap(),
            hessian_vector: head.hessian_vector_scale(&columns, &direction).unwrap(),
            columns,
        }
    }
}

fn direction<T: Element>(data: &Data<T>, options: Options) -> Vec<T> {
    let mut direction: Vec<T> = data.coefficients.iter().rev().copied().collect();
    for (v, b) in direction.iter_mut().zip(&data.coefficients) {
        *v = T::of(b.to() * if v.to() > 0.0 { 1.5 } else { -0.75 });
    }
    if options.mode != Mode::Plain {
        direction.push(T::of(0.5));
    }
    direction
}

fn compute<T: Element>(
    data: &Data<T>,
    x: &Features<'_, T>,
    scales: &Scales,
    options: Options,
) -> Results {
    let head = data.head(options);
    let width = head.width();
    // What is in the scratch does not matter.
    let mut scratch = vec![f64::NAN; gradient_scratch(width)];
    let mut gram_space = vec![f64::NAN; gram_scratch(width)];
    let start = |factor| {
        let mut sums = vec![ColumnSum::default(); width];
        head.start_gradient(&scales.columns, factor, &mut sums)
            .unwrap();
        sums
    };
    let start_gram = |factor| {
        let mut sums = vec![ColumnSum::default(); gram_length(width)];
        head.start_gram(&scales.columns, factor, &mut sums).unwrap();
        sums
    };
    let mut results = Results {
        loss: LossSum::new(),
        gradient: start(scales.residual),
        hessian_vector: start(scales.hessian_vector),
        gram: start_gram(scales.hessian),
        sandwich: start_gram(scales.squared),
        hessians: start(scales.hessian),
        squares: start(scales.squared),
    };
    let (mut loss_too, mut gradient_too, mut gram_too, mut sandwich_too) = (
        LossSum::new(),
        results.gradient.clone(),
        results.gram.clone(),
        results.sandwich.clone(),
    );
    let mut given_too = results.gradient.clone();
    let Results {
        loss,
        gradient,
        hessian_vector,
        gram,
        sandwich,
        hessians,
        squares,
    } = &mut results;
    let (t, v) = (&data.t, direction(data, options));
    head.sum_gradient(x, t, loss, gradient, &mut scratch)
        .unwrap();
    head.hessian_vector(x, t, &v, hessian_vector, &mut scratch)
        .unwrap();
    head.gram(x, t, Factor::Hessian, gram, &mut gram_space)
        .unwrap();
    head.gram(x, t, Factor::SquaredResidual, sandwich, &mut gram_space)
        .unwrap();
    for (factor, sums) in [
        (Factor::Hessian, hessians),
        (Factor::SquaredResidual, squares),
    ] {
        head.column_sums(x, t, factor, sums, &mut scratch).unwrap();
    }
    // The same by other ways.
    let mut scratch = vec![f64::NAN; gradient_gram_scratch(width)];
    head.sum_gradient_gram(
        x,
        t,
        Factor::Hessian,
        &mut loss_too,
        &mut gradient_too,
        &mut gram_too,
        &mut scratch,
    )
    .unwrap();
    assert_eq!((&loss_too, &gradient_too), (&*loss, &*gradient));
    assert_eq!(gram_too, *gram);
    let mut z = vec![T::of(0.0); data.rows];
    head.logits(x, &mut z).unwrap();
    let (mut r, mut h) = (z.clone(), z.clone());
    data.bce(options)
        .gradient_hessian(&z, t, &mut r, &mut h)
        .unwrap();
    let given = Factor::Given(&r);
    assert!(head.factor_scale(given).unwrap() <= scales.residual);
    head.column_sums(x, &[], given, &mut given_too, &mut scratch)
        .unwrap();
    assert_eq!(given_too, *gradient);
    for (from, to) in h.iter_mut().zip(&r) {
        *from = to.times(*to);
    }
    // In f32 the squares are rounded.
    if size_of::<T>() == size_of::<f64>() {
        let space = &mut gram_space;
        head.gram(x, &[], Factor::Given(&h), &mut sandwich_too, space)
            .unwrap();
        assert_eq!(sandwich_too, *sandwich);
    }
    results
}

fn dot<T: Element>(row: &[T], coefficients: &[T]) -> T {
    let mut sums = [T::of(0.0); 16];
    for (j, (&x, &b)) in row.iter().zip(coefficients).enumerate() {
        sums[j % 16] = x.fused(b, sums[j % 16]);
    }
    for half in [8, 4, 2, 1] {
        for k in 0..half {
            sums[k] = sums[k].plus(sums[k + half]);
        }
    }
    sums[0]
}

/// The units of a product of a factor and a feature: by the FMA that defines them.
fn units(factor: f64, x: f64, sum: &ColumnSum) -> i128 {
    let center = 1.5 * 2f64.powi(sum.unit_exponent() + 52);
    let rounded = x.mul_add(factor, center);
    // The integer quotient of an exact difference.
    ((rounded - center) / 2f64.powi(sum.unit_exponent())) as i128
}

fn odd(factor: f64) -> f64 {
    if factor == 0.0 {
        0.0
    } else {
        f64::from_bits(factor.to_bits() | 1)
    }
}

/// The definition, row by row.
fn define<T: Element>(data: &Data<T>, scales: &Scales, options: Options) -> (Vec<T>, Definition) {
    let head = data.head(options);
    let empty = data.rows_of(&[]);
    let sums = compute(&empty, &empty.features(), scales, options);
    let width = head.width();
    let v = direction(data, options);
    let mut logits = Vec::new();
    let mut of = Definition {
        loss: LossSum::new(),
        gradient: vec![0; width],
        hessian_vector: vec![0; width],
        gram: vec![0; gram_length(width)],
        sandwich: vec![0; gram_length(width)],
        hessians: vec![0; width],
        squares: vec![0; width],
    };
    let bce = |row: usize| {
        let bce = options.mode.of(&data.weights[row..row + 1]);
        bce.backend(Backend::Scalar).unwrap()
    };
    for row in 0..data.rows {
        let mut x = data.x[row * data.columns..(row + 1) * data.columns].to_vec();
        let mut z = dot(&x, &data.coefficients);
        let mut q = dot(&x, &v);
        z = z.plus(T::of(if options.mode != Mode::Plain {
            -0.25
        } else {
            0.0
        }));
        if options.mode != Mode::Plain {
            z = z.plus(data.offset[row]);
            q = q.plus(T::of(0.5));
            x.push(T::of(1.0));
        }
        logits.push(z);
        let (mut g, mut h) = ([T::of(0.0)], [T::of(0.0)]);
        let t = &data.t[row..row + 1];
        bce(row).accumulate(&[z], t, &mut of.loss).unwrap();
        bce(row).gradient_hessian(&[z], t, &mut g, &mut h).unwrap();
        let (r, h) = (g[0].to(), h[0]);
        let y = if h.to() == 0.0 { 0.0 } else { h.times(q).to() };
        for (j, x_j) in x.iter().map(|x| x.to()).enumerate() {
            of.gradient[j] += units(odd(r), x_j, &sums.gradient[j]);
            of.hessian_vector[j] += units(odd(y), x_j, &sums.hessian_vector[j]);
            of.hessians[j] += units(odd(h.to()), x_j, &sums.hessians[j]);
            of.squares[j] += units(odd(r * r), x_j, &sums.squares[j]);
            for (k, x_k) in x.iter().map(|x| x.to()).enumerate().take(j + 1) {
                let at = j * (j + 1) / 2 + k;
                of.gram[at] += units(odd(h.to() * x_j), x_k, &sums.gram[at]);
                of.sandwich[at] += units(odd(r * r * x_j), x_k, &sums.sandwich[at]);
            }
        }
    }
    (logits, of)
}

struct Definition {
    loss: LossSum,
    gradient: Vec<i128>,
    hessian_vector: Vec<i128>,
    gram: Vec<i128>,
    sandwich: Vec<i128>,
    hessians: Vec<i128>,
    squares: Vec<i128>,
}

fn assert_defined(results: &Results, of: &Definition, what: &str) {
    let units = |sums: &[ColumnSum]| -> Vec<i128> { sums.iter().map(ColumnSum::units).collect() };
    assert_eq!(results.loss, of.loss, "{what}: loss");
    assert_eq!(units(&results.gradient), of.gradient, "{what}: gradient");
    assert_eq!(
        units(&results.hessian_vector),
        of.hessian_vector,
        "{what}: Hessian times v"
    );
    assert_eq!(units(&results.gram), of.gram, "{what}: Gram matrix");
    assert_eq!(units(&results.sandwich), of.sandwich, "{what}: sandwich");
    assert_eq!(units(&results.hessians), of.hessians, "{what}: Hessians");
    assert_eq!(units(&results.squares), of.squares, "{what}: squares");
}

fn every_way<T: Element>(rows: usize, columns: usize, backends: &[Backend]) {
    let data = Data::<T>::new(rows, columns, (rows * 1009 + columns) as u64);
    for mode in Mode::ALL {
        let scalar = Options {
            mode,
            backend: Backend::Scalar,
        };
        let scales = Scales::new(&data, scalar);
        let (logits, of) = define(&data, &scales, scalar);
        let mut predicted = vec![T::of(0.0); rows];
        let head = data.head(scalar);
        head.predict(&data.features(), &mut predicted).unwrap();
        for &backend in backends {
            let options = Options { mode, backend };
            let what = format!("{rows} x {columns}, {}, {mode:?}", backend.name());
            let columns_of = data.columns();
            let slices: Vec<&[T]> = columns_of.iter().map(Vec::as_slice).collect();
            // With a stride, one element off the start.
            let stride = columns + 3;
            let mut padded = vec![T::of(f64::NAN); 1 + rows * stride];
            for (row, x) in data.x.chunks(columns.max(1)).enumerate() {
                padded[1 + row * stride..][..columns].copy_from_slice(x);
            }
            let strided = Features::strided(&padded[1..], rows, columns, stride).unwrap();
            let by_columns = Features::columns(&slices, rows).unwrap();
            for (x, layout) in [
                (data.features(), "rows"),
                (strided, "strided"),
                (by_columns, "columns"),
            ] {
                let what = format!("{what}, {layout}");
                let mut z = vec![T::of(0.0); rows];
                let mut p = z.clone();
                let head = data.head(options);
                head.logits(&x, &mut z).unwrap();
                head.predict(&x, &mut p).unwrap();
                for (row, (z, p)) in z.iter().zip(&p).enumerate() {
                    assert_eq!(z.bits(), logits[row].bits(), "{what}: logit {row}");
                    let temperature = match mode {
                        Mode::Temperature => 0.3,
                        Mode::Teacher => 1.75,
                        _ => 1.0,
                    };
                    let (p, of) = (p.to(), predicted[row].to());
                    assert_eq!(p, of, "{what}: prediction {row}");
                    if temperature == 1.0 {
                        assert_eq!(p, scalar::sigmoid(*z).to(), "{what}: prediction {row}");
                    } else {
                        // The last places of the quotient count; oracle/tests/linear.rs is exact.
                        let x = z.to() / T::of(temperature).to();
                        let of = 1.0 / (1.0 + (-x).exp());
                        // Subnormals of f32 too.
                        let error = of * (4.0 * T::EPSILON + x.abs() * f64::EPSILON) + 2e-45;
                        assert!((p - of).abs() <= error, "{what}: prediction {row}");
                    }
                }
                let mut found = vec![ColumnScale::ZERO; columns];
                scan(&x, &mut found).unwrap();
                assert_eq!(found, scales.columns, "{what}");
                assert_defined(&compute(&data, &x, &scales, options), &of, &what);
            }
        }
    }
}

fn fast_backends() -> Vec<Backend> {
    let slow = [Backend::Scalar, Backend::Wide];
    Backend::available().filter(|b| !slow.contains(b)).collect()
}

#[test]
fn every_layout_and_backend_gives_what_the_definition_does() {
    let all: Vec<_> = Backend::available().collect();
    for columns in [0, 1, 3, 7, 16, 17, 33] {
        for rows in [0, 1, 2, 65] {
            every_way::<f32>(rows, columns, &all);
            every_way::<f64>(rows, columns, &all);
        }
    }
}

#[test]
fn many_columns() {
    for columns in [64, 100, 512, 1000] {
        let rows = if columns < 200 { 70 } else { 3 };
        every_way::<f32>(rows, columns, &fast_backends());
        every_way::<f64>(rows, columns, &fast_backends());
    }
}

#[test]
fn many_rows() {
    every_way::<f32>(1000, 5, &fast_backends());
    every_way::<f64>(1000, 20, &fast_backends());
}

fn shuffled(count: usize, random: &mut Random) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for i in (1..count).rev() {
        order.swap(i, random.below(i + 1));
    }
    order
}

/// Rows in any order, cut anywhere, on any backend, merged in any order.
fn any_order_and_partition<T: Element>(rows: usize, columns: usize) {
    let data = Data::<T>::new(rows, columns, 99);
    let mut random = Random((rows + columns) as u64);
    let backends: Vec<_> = Backend::available().collect();
    let options = Options {
        mode: Mode::Everything,
        backend: Backend::detect(),
    };
    let scales = Scales::new(&data, options);
    let whole = compute(&data, &data.features(), &scales, options);
    for _ in 0..4 {
        let shuffled_data = data.rows_of(&shuffled(rows, &mut random));
        let mut parts = Vec::new();
        let mut start = 0;
        while start < rows {
            let end = rows.min(start + 1 + random.below(rows / 3));
            let order: Vec<usize> = (start..end).collect();
            let part = shuffled_data.rows_of(&order);
            let options = Options {
                backend: backends[random.below(backends.len())],
                ..options
            };
            let transposed = part.columns();
            let slices: Vec<&[T]> = transposed.iter().map(Vec::as_slice).collect();
            let x = if random.below(2) == 0 {
                part.features()
            } else {
                Features::columns(&slices, part.rows).unwrap()
            };
            parts.push(compute(&part, &x, &scales, options));
            start = end;
        }
        while parts.len() > 1 {
            let other = parts.swap_remove(random.below(parts.len()));
            let at = random.below(parts.len());
            let sum = &mut parts[at];
            sum.loss.merge(&other.loss);
            for (sums, others) in [
                (&mut sum.gradient, &other.gradient),
                (&mut sum.hessian_vector, &other.hessian_vector),
                (&mut sum.gram, &other.gram),
                (&mut sum.sandwich, &other.sandwich),
                (&mut sum.hessians, &other.hessians),
                (&mut sum.squares, &other.squares),
            ] {
                // Through bytes, as from another machine.
                let read = |sum: &ColumnSum| ColumnSum::from_bytes(&sum.to_bytes()).unwrap();
                merge(sums, &others.iter().map(read).collect::<Vec<_>>()).unwrap();
            }
        }
        assert_eq!(parts[0], whole);
    }
}

#[test]
fn order_partition_layout_and_backend_do_not_matter() {
    any_order_and_partition::<f32>(150, 3);
    any_order_and_partition::<f64>(150, 3);
    any_order_and_partition::<f32>(90, 21);
    any_order_and_partition::<f64>(90, 21);
}

/// Groups add up to the whole, whatever their order, and each is what its rows alone give.
#[test]
fn groups_are_the_sums_of_their_rows() {
    let data = Data::<f32>::new(300, 9, 5);
    let mut random = Random(8);
    for mode in Mode::ALL {
        let options = Options {
            mode,
            backend: Backend::detect(),
        };
        let scales = Scales::new(&data, options);
        let head = data.head(options);
        let width = head.width();
        let mut scratch = vec![0.0; gradient_scratch(width)];
        for sorted in [false, true] {
            let mut groups: Vec<u32> = (0..300).map(|_| random.below(7) as u32).collect();
            if sorted {
                groups.sort_unstable();
            }
            let mut sums = vec![ColumnSum::default(); 8 * width];
            let mut hessians = sums.clone();
            for (sums, scale) in [
                (&mut sums, scales.residual),
                (&mut hessians, scales.hessian),
            ] {
                for sums in sums.chunks_mut(width) {
                    head.start_gradient(&scales.columns, scale, sums).unwrap();
                }
            }
            let mut loss = LossSum::new();
            let transposed = data.columns();
            let slices: Vec<&[f32]> = transposed.iter().map(Vec::as_slice).collect();
            let x = if mode != Mode::Plain {
                data.features()
            } else {
                Features::columns(&slices, 300).unwrap()
            };
            head.group_gradient(&x, &data.t, &groups, &mut loss, &mut sums, &mut scratch)
                .unwrap();
            let (of, space) = (Factor::Hessian, &mut scratch);
            head.group_sums(&x, &data.t, of, &groups, &mut hessians, space)
                .unwrap();
            for (group, sums) in sums.chunks(width).enumerate() {
                let rows: Vec<usize> = (0..300).filter(|&i| groups[i] == group as u32).collect();
                let part = data.rows_of(&rows);
                let alone = compute(&part, &part.features(), &scales, options);
                for (sum, alone) in sums.iter().zip(alone.gradient) {
                    assert_eq!(sum.units(), alone.units(), "group {group}");
                }
                let hessians = &hessians[group * width..][..width];
                for (sum, alone) in hessians.iter().zip(alone.hessians) {
                    assert_eq!(sum.units(), alone.units(), "group {group}");
                }
            }
            let whole = compute(&data, &data.features(), &scales, options);
            assert_eq!(loss, whole.loss);
        }
    }
}

/// A model of offsets alone, without an intercept, has losses.
#[test]
fn groups_without_columns_are_groups() {
    let x = Features::rows(&[], 3, 0).unwrap();
    let (offset, groups, t) = ([0.5, -1.0, 2.0], [0, 7, u32::MAX], [1.0, 0.25, 0.5]);
    let head = Head::new(&[]).offset(&offset);
    let (mut loss, mut right) = (LossSum::new(), LossSum::new());
    let scratch = &mut [0.0; gradient_scratch(0)][..];
    head.group_gradient(&x, &t, &groups, &mut loss, &mut [], scratch)
        .unwrap();
    Bce::new().accumulate(&offset, &t, &mut right).unwrap();
    assert_eq!(loss, right);
    let given = Factor::Given(&t);
    head.group_sums(&x, &t, given, &groups, &mut [], scratch)
        .unwrap();
    let error = head.group_sums(&x, &t, given, &groups, &mut [ColumnSum::default()], scratch);
    assert!(matches!(
        error,
        Err(Error::LengthMismatch {
            argument: "sums",
            ..
        })
    ));
}

/// Products whose lowest bit is half a unit: without the odd bit their sums would depend on the order.
#[test]
fn products_made_to_tie_do_not() {
    let mut random = Random(1);
    for backend in Backend::available() {
        for trial in 0..50 {
            // Residuals of sigmoid(0) − t = 1/2 − t, exact, with few bits; features with few bits below them.
            let rows = 64;
            let bits = 1 + random.below(20) as i32;
            let t: Vec<f64> = (0..rows)
                .map(|_| {
                    let steps = 2f64.powi(bits);
                    (random.unit() * steps).floor() / steps
                })
                .collect();
            // The grid is 2^-45 (E = F = 0): products that are odd multiples of 2^-46.
            let x: Vec<f64> = (0..rows)
                .map(|_| {
                    let odd = 2.0 * (random.unit() * 1000.0).floor() + 1.0;
                    odd * 2f64.powi(bits - 46)
                })
                .collect();
            let head = Head::new(&[0.0]).bce(Bce::new().backend(backend).unwrap());
            let run = |order: &[usize], block: usize| {
                let mut sum = [ColumnSum::new(ColumnScale::ONE, ColumnScale::ONE).unwrap()];
                let mut scratch = vec![0.0; gradient_scratch(1)];
                for rows in order.chunks(block) {
                    let pick = |of: &[f64]| rows.iter().map(|&row| of[row]).collect::<Vec<_>>();
                    let (x, t) = (pick(&x), pick(&t));
                    let x = Features::rows(&x, x.len(), 1).unwrap();
                    let loss = &mut LossSum::new();
                    head.sum_gradient(&x, &t, loss, &mut sum, &mut scratch)
                        .unwrap();
                }
                sum[0].units()
            };
            let forward: Vec<usize> = (0..rows).collect();
            let expected: i128 = forward
                .iter()
                .map(|&row| {
                    let sum = ColumnSum::new(ColumnScale::ONE, ColumnScale::ONE).unwrap();
                    units(odd(0.5 - t[row]), x[row], &sum)
                })
                .sum();
            assert_eq!(run(&forward, rows), expected, "trial {trial}");
            let order = shuffled(rows, &mut random);
            for block in [rows, 1, 7] {
                assert_eq!(run(&order, block), expected, "{} {trial}", backend.name());
            }
        }
    }
}

/// The bound of the documentation. A product is a sum of two numbers, by an FMA, and `LossSum` is exact.
fn within_the_bound<T: Element>(rows: usize, columns: usize, seed: u64) {
    let data = Data::<T>::new(rows, columns, seed);
    let options = Options {
        mode: Mode::Everything,
        backend: Backend::detect(),
    };
    let scales = Scales::new(&data, options);
    let head = data.head(options);
    let results = compute(&data, &data.features(), &scales, options);
    let mut z = vec![T::of(0.0); rows];
    head.logits(&data.features(), &mut z).unwrap();
    let bce = Bce::new().weights(&data.weights).pos_weight(T::of(3.0));
    let mut r = z.clone();
    bce.label_smoothing(T::of(0.125))
        .gradient(&z, &data.t, &mut r)
        .unwrap();
    for (column, sum) in results.gradient.iter().enumerate().take(columns) {
        let unit = 2f64.powi(sum.unit_exponent());
        let upper = sum.units() as f64;
        let lower = (sum.units() - upper as i128) as f64;
        let (mut error, mut magnitudes) = (LossSum::new(), 0.0);
        error.add_slice(&[upper * unit, lower * unit]);
        for (row, r) in r.iter().enumerate() {
            let (r, x) = (r.to(), data.x[row * columns + column].to());
            let product = r * x;
            // What it lost is exact where it is not subnormal.
            assert!(product == 0.0 || product.abs() > 1e-290);
            error.add_slice(&[-product, -r.mul_add(x, -product)]);
            magnitudes += product.abs();
        }
        let bound = rows as f64 * unit / 2.0 + 2f64.powi(-52) * magnitudes;
        let error = error.to_f64().abs();
        assert!(error <= bound, "column {column}: {error:e} > {bound:e}");
    }
}

#[test]
fn errors_are_within_the_bound() {
    for seed in 0..20 {
        within_the_bound::<f32>(200, 23, seed);
        within_the_bound::<f64>(200, 23, seed);
    }
}

/// Whatever goes wrong, it is named, and nothing has changed.
#[test]
fn errors_name_the_first_row_and_leave_everything_as_it_was() {
    const ROWS: usize = 700;
    type Spoil = fn(&mut Data<f32>, usize);
    let cases: [(&str, Spoil); 9] = [
        ("feature NaN", |data, row| data.x[row * 5 + 2] = f32::NAN),
        ("feature infinite", |data, row| {
            data.x[row * 5 + 2] = -f32::INFINITY
        }),
        ("feature beyond", |data, row| data.x[row * 5 + 2] = f32::MAX),
        ("offset", |data, row| data.offset[row] = f32::INFINITY),
        ("weight", |data, row| data.weights[row] = -1.0),
        ("target", |data, row| {
            (data.t[row], data.weights[row]) = (1.5, 1.0)
        }),
        ("weight beyond", |data, row| data.weights[row] = 1e10),
        ("logit", |data, row| {
            (data.offset[row], data.weights[row]) = (f32::MAX, 1.0);
            data.coefficients[2] = f32::MAX;
            data.x[row * 5 + 2] = 2.0;
        }),
        ("weight 0", |data, row| {
            (data.offset[row], data.weights[row]) = (f32::MAX, 0.0);
        }),
    ];
    let clean = Data::<f32>::new(ROWS, 5, 3);
    for backend in Backend::available() {
        let options = Options {
            mode: Mode::Everything,
            backend,
        };
        let mut scales = Scales::new(&clean, options);
        for scale in &mut scales.columns {
            *scale = scale.merge(ColumnScale::of(4.0).unwrap());
        }
        for (name, spoil) in cases {
            for (first, second) in [(0, 3), (100, 600), (255, 256), (699, 650)] {
                let mut data = clean.rows_of(&(0..ROWS).collect::<Vec<_>>());
                spoil(&mut data, first);
                spoil(&mut data, second);
                let row = first.min(second);
                let head = data.head(options);
                let mut sums = vec![ColumnSum::default(); 6];
                head.start_gradient(&scales.columns, scales.residual, &mut sums)
                    .unwrap();
                let before = sums.clone();
                let mut loss = LossSum::new();
                let mut scratch = vec![0.0; gradient_scratch(6)];
                let transposed = data.columns();
                let slices: Vec<&[f32]> = transposed.iter().map(Vec::as_slice).collect();
                let by_columns = Features::columns(&slices, ROWS).unwrap();
                for x in [data.features(), by_columns] {
                    let result = head.sum_gradient(&x, &data.t, &mut loss, &mut sums, &mut scratch);
                    let what = format!("{name}, {}, {result:?}", backend.name());
                    if name == "weight 0" {
                        assert_eq!(result, Ok(()), "{what}");
                        continue;
                    }
                    let found = match result.unwrap_err() {
                        Error::FeatureOutOfScale { row, column: 2, .. }
                            if name.starts_with("feature") =>
                        {
                            row
                        }
                        Error::InvalidOffset { row, .. } if name == "offset" => row,
                        Error::InvalidWeight { index, .. } if name == "weight" => index,
                        Error::TargetOutOfRange { index, .. } if name == "target" => index,
                        Error::FactorOutOfScale { row, .. } if name == "weight beyond" => row,
                        Error::InvalidLogit { row, .. } if name == "logit" => row,
                        other => panic!("{what}: {other}"),
                    };
                    assert_eq!(found, row, "{what}");
                    assert_eq!(sums, before, "{what}");
                    assert_eq!(loss, LossSum::new(), "{what}");
                    let mut p = vec![0.0; ROWS];
                    if !name.contains("weight") && name != "target" && name != "feature beyond" {
                        assert!(head.predict(&x, &mut p).is_err(), "{what}");
                        assert!(p.iter().all(|p| p.is_nan()), "{what}");
                    }
                }
            }
        }
    }
}

/// Of two kinds of errors the one in the earlier row is reported, whatever block both are in.
#[test]
fn the_earlier_row_wins() {
    let clean = Data::<f64>::new(300, 3, 3);
    let options = Options {
        mode: Mode::Everything,
        backend: Backend::detect(),
    };
    let scales = Scales::new(&clean, options);
    let mut data = clean.rows_of(&(0..300).collect::<Vec<_>>());
    data.weights[7] = 1e9; // only its residual is too large
    (data.t[9], data.weights[9]) = (-1.0, 1.0);
    data.x[11 * 3] = f64::NAN;
    let head = data.head(options);
    let mut sums = vec![ColumnSum::default(); 4];
    head.start_gradient(&scales.columns, scales.residual, &mut sums)
        .unwrap();
    let mut scratch = vec![0.0; gradient_scratch(4)];
    let mut run = |x: &Features<'_, f64>| {
        head.sum_gradient(x, &data.t, &mut LossSum::new(), &mut sums, &mut scratch)
    };
    let found = run(&data.features());
    assert!(
        matches!(found, Err(Error::FactorOutOfScale { row: 7, .. })),
        "{found:?}"
    );
}

/// Of a pass that makes two kinds of sums too; and neither they nor the losses have changed.
#[test]
fn the_earlier_row_wins_whichever_sum_it_is_for() {
    let (mut t, mut weights) = (vec![0.5; 40], vec![1.0; 40]);
    (t[9], weights[7]) = (-1.0, 1.5);
    let x = vec![2.0_f32; 40];
    let x = Features::rows(&x, 40, 1).unwrap();
    let head = Head::new(&[0.0]).bce(Bce::new().weights(&weights));
    let scales = [ColumnScale::of(2.0).unwrap()];
    let (mut gradient, mut gram) = ([ColumnSum::default()], [ColumnSum::default()]);
    head.start_gradient(&scales, head.residual_scale().unwrap(), &mut gradient)
        .unwrap();
    head.start_gram(&scales, ColumnScale::of(0.25).unwrap(), &mut gram)
        .unwrap();
    let before = (gradient, gram);
    let mut loss = LossSum::new();
    let mut scratch = vec![0.0; gradient_gram_scratch(1)];
    let mut run = |factor| {
        let (gradient, gram) = (&mut gradient, &mut gram);
        head.sum_gradient_gram(&x, &t, factor, &mut loss, gradient, gram, &mut scratch)
    };
    let (row, value) = (7, 0.375);
    assert_eq!(
        run(Factor::Hessian),
        Err(Error::FactorOutOfScale { row, value })
    );
    let given = [0.25; 40];
    let mut bad = given;
    (bad[8], bad[10]) = (f32::NAN, -0.5);
    let target = Error::TargetOutOfRange {
        index: 9,
        value: -1.0,
    };
    assert_eq!(run(Factor::Given(&given)), Err(target));
    assert!(matches!(
        run(Factor::Given(&bad)),
        Err(Error::FactorOutOfScale { row: 8, .. })
    ));
    assert_eq!((gradient, gram, loss), (before.0, before.1, LossSum::new()));
}

/// Of one row the distance to the next is no matter.
#[test]
fn one_row_of_any_stride() {
    let (data, coefficients) = ([0.25; 40], [0.5; 40]);
    let head = Head::new(&coefficients);
    let [near, far] = [40, usize::MAX].map(|stride| {
        let x = Features::strided(&data, 1, 40, stride).unwrap();
        let (mut loss, mut sums) = (LossSum::new(), [ColumnSum::default(); 40]);
        let scales = [ColumnScale::ONE; 40];
        head.start_gradient(&scales, ColumnScale::ONE, &mut sums)
            .unwrap();
        let mut scratch = [0.0; gradient_scratch(40)];
        head.sum_gradient(&x, &[0.5], &mut loss, &mut sums, &mut scratch)
            .unwrap();
        (loss, sums)
    });
    assert_eq!(near, far);
}

#[test]
fn lengths_options_and_scales_are_checked() {
    let (x, t) = ([1.0, 2.0, 3.0, 4.0], [0.5, 0.5]);
    let x = Features::rows(&x, 2, 2).unwrap();
    let head = Head::new(&[1.0, 1.0]);
    let one = ColumnScale::of(4.0).unwrap();
    let mut sums = [ColumnSum::default(); 2];
    head.start_gradient(&[one; 2], ColumnScale::ONE, &mut sums)
        .unwrap();
    let mut scratch = [0.0; gradient_scratch(2)];
    let mut loss = LossSum::new();
    let mismatch = |argument, expected, found| {
        Err(Error::LengthMismatch {
            argument,
            expected,
            found,
        })
    };
    let mut run = |head: Head<'_, f64>, t: &[f64], sums: &mut [ColumnSum], scratch: &mut [f64]| {
        head.sum_gradient(&x, t, &mut loss, sums, scratch)
    };
    let short_t = run(head, &t[1..], &mut sums, &mut scratch);
    assert_eq!(short_t, mismatch("t", 2, 1));
    let short_sums = run(head, &t, &mut sums[1..], &mut scratch);
    assert_eq!(short_sums, mismatch("gradient", 2, 1));
    let needed = scratch.len();
    let short_scratch = run(head, &t, &mut sums, &mut scratch[1..]);
    assert_eq!(short_scratch, mismatch("scratch", needed, needed - 1));
    let few = run(Head::new(&[1.0]), &t, &mut sums[1..], &mut scratch);
    assert_eq!(few, mismatch("coefficients", 2, 1));
    let short_offset = run(head.offset(&[0.0]), &t, &mut sums, &mut scratch);
    assert_eq!(short_offset, mismatch("offset", 2, 1));
    let weighted = head.bce(Bce::new().weights(&[1.0; 3]));
    let long_weights = run(weighted, &t, &mut sums, &mut scratch);
    assert_eq!(long_weights, mismatch("weights", 2, 3));
    assert!(matches!(
        run(Head::new(&[1.0, f64::NAN]), &t, &mut sums, &mut scratch),
        Err(Error::InvalidCoefficient { index: 1, .. })
    ));
    for bce in [
        Bce::new().row_weights(&[1.0; 2]),
        Bce::new().pos_weights(&[2.0]),
        *SquaredError::new(),
        *Focal::new(1.0),
    ] {
        let refused = |result| matches!(result, Err(Error::UnsupportedOptions { .. }));
        assert!(refused(run(head.bce(bce), &t, &mut sums, &mut scratch)));
        assert!(refused(head.bce(bce).predict(&x, &mut [0.0; 2])));
        assert!(refused(head.bce(bce).residual_scale().map(drop)));
    }
    let bad = head.bce(Bce::new().temperature(0.0));
    assert!(matches!(
        run(bad, &t, &mut sums, &mut scratch),
        Err(Error::InvalidOption { .. })
    ));
    let bad = head.bce(Bce::new().pos_weight(-1.0));
    assert!(matches!(
        run(bad, &t, &mut sums, &mut scratch),
        Err(Error::InvalidOption { .. })
    ));
    assert!(Features::rows(&[0.0; 5], 2, 2).is_err());
    assert!(Features::strided(&[0.0; 5], 2, 3, 2).is_err());
    assert!(Features::strided(&[0.0; 5], 2, 2, 4).is_err());
    assert!(Features::strided(&[0.0; 5], usize::MAX, 2, usize::MAX).is_err());
    assert!(Features::columns(&[&[0.0; 2], &[0.0; 3]], 2).is_err());

    let other = ColumnSum::new(ColumnScale::ONE, ColumnScale::ONE).unwrap();
    let before = sums;
    let result = merge(&mut sums, &[before[0], other]);
    assert_eq!(result, Err(Error::ScaleMismatch { index: 1 }));
    assert_eq!(sums, before);
    let mut gram = [ColumnSum::default(); 3];
    head.start_gram(&[one; 2], ColumnScale::ONE, &mut gram)
        .unwrap();
    gram[1] = other;
    let mut space = [0.0; gram_scratch(2)];
    let result = head.gram(&x, &t, Factor::Hessian, &mut gram, &mut space);
    assert_eq!(result, Err(Error::ScaleMismatch { index: 1 }));
    let given = Factor::Given(&[0.5; 3]);
    assert_eq!(
        head.column_sums(&x, &t, given, &mut sums, &mut scratch),
        mismatch("factors", 2, 3)
    );
    assert_eq!(
        head.group_sums(&x, &[], given, &[0; 2], &mut sums[1..], &mut scratch),
        mismatch("sums", 0, 1)
    );
    head.start_gram(&[one; 2], ColumnScale::ONE, &mut gram)
        .unwrap();
    let mut both = [0.0; gradient_gram_scratch(2)];
    let (needed, mut loss) = (both.len(), LossSum::new());
    let mut run = |sums: &mut [ColumnSum], gram: &mut [ColumnSum], scratch: &mut [f64]| {
        head.sum_gradient_gram(&x, &t, Factor::Hessian, &mut loss, sums, gram, scratch)
    };
    assert_eq!(
        run(&mut sums, &mut gram[1..], &mut both),
        mismatch("gram", 3, 2)
    );
    assert_eq!(
        run(&mut sums, &mut gram, &mut both[1..]),
        mismatch("scratch", needed, needed - 1)
    );
    assert_eq!(
        run(&mut [sums[0], other], &mut gram, &mut both),
        Err(Error::ScaleMismatch { index: 1 })
    );
    let huge = ColumnScale::of(1e280).unwrap();
    assert!(
        head.start_gram(&[huge; 2], ColumnScale::ONE, &mut gram)
            .is_err()
    );
    assert!(ColumnScale::of(1e300).is_err());
}

/// Not even their number, nor that a row has none.
#[test]
fn predictions_do_not_look_at_weights() {
    let x = Features::rows(&[f64::MAX, 1.0], 2, 1).unwrap();
    let coefficients = [2.0];
    for weights in [&[0.0, 1.0][..], &[-1.0], &[]] {
        for backend in Backend::available() {
            let bce = Bce::new().weights(weights).backend(backend).unwrap();
            let head = Head::new(&coefficients).bce(bce);
            let mut z = [7.0; 2];
            let error = head.logits(&x, &mut z).unwrap_err();
            assert!(matches!(error, Error::InvalidLogit { row: 0, .. }));
            assert!(z.iter().all(|z| z.is_nan()));
            let error = head.predict(&x, &mut z).unwrap_err();
            assert!(matches!(error, Error::InvalidLogit { row: 0, .. }));
            assert_eq!(head.logits(&x.part(1..2), &mut z[..1]), Ok(()));
            assert_eq!(z[0], 2.0);
        }
    }
}

#[test]
fn rows_without_columns_take_no_time() {
    let x = Features::<f64>::rows(&[], usize::MAX, 0).unwrap();
    assert_eq!(scan(&x, &mut []), Ok(()));
}

#[test]
fn hostile_bytes_are_refused() {
    let scale = ColumnScale::of(3.0).unwrap();
    let sum = ColumnSum::new(scale, ColumnScale::ONE).unwrap();
    let bytes = sum.to_bytes();
    assert_eq!(ColumnSum::from_bytes(&bytes), Ok(sum));
    for length in 0..bytes.len() {
        assert!(ColumnSum::from_bytes(&bytes[..length]).is_err());
    }
    let mut one_row = bytes;
    one_row[8] = 1;
    one_row[16 + 5] = 1 << 5; // 2^45 units, as much as a row can bring
    assert!(ColumnSum::from_bytes(&one_row).is_ok());
    one_row[16] = 1;
    assert_eq!(
        ColumnSum::from_bytes(&one_row),
        Err(Error::MalformedColumnSum)
    );
    // Every scale that is read can be used and printed.
    let mut random = Random(4);
    for _ in 0..100_000 {
        let mut bytes = bytes;
        for byte in &mut bytes[4..16] {
            *byte = random.next() as u8;
        }
        (bytes[5], bytes[7]) = ((random.next() % 16) as u8, (random.next() % 3) as u8);
        if let Ok(sum) = ColumnSum::from_bytes(&bytes) {
            assert_eq!(sum.to_bytes(), bytes);
            assert!(sum.to_f64().is_finite(), "{sum:?}");
            let mut doubled = sum;
            let merged = doubled.merge(&sum);
            assert_eq!(merged.is_ok(), sum.rows() < 1 << 63);
        }
    }
    for exponent in [-481, 960, i32::MAX] {
        assert_eq!(ColumnScale::from_exponent(exponent), None);
    }
    let bad = [
        &b"S\x01\xff"[..],
        b"S\x02\0\0",
        b"T\x01\0\0",
        b"S\x01\xff\x7f",
    ];
    for bytes in bad {
        assert_eq!(
            ColumnScale::from_bytes(bytes),
            Err(Error::MalformedColumnSum)
        );
    }
}

/// The bounds themselves, 64 at a time with one sign: the accumulators reach the ends of their binade.
#[test]
fn the_largest_products_fit() {
    for backend in Backend::available() {
        for (x, t) in [(4.0, 0.0), (4.0, 1.0), (-4.0, 0.0)] {
            let (rows, logit): (usize, f64) = (1000, if t == 0.0 { 1000.0 } else { -1000.0 });
            let x = vec![x; rows];
            let (t, offset) = (vec![t; rows], vec![logit; rows]);
            let head = Head::new(&[0.0]).offset(&offset).intercept(0.0);
            let head = head.bce(Bce::new().backend(backend).unwrap());
            let mut sums = [ColumnSum::default(); 2];
            let scale = ColumnScale::of(4.0).unwrap();
            head.start_gradient(&[scale], ColumnScale::ONE, &mut sums)
                .unwrap();
            let mut scratch = [0.0; gradient_scratch(2)];
            let view = Features::rows(&x, rows, 1).unwrap();
            let columns: [&[f64]; 1] = [&x];
            for view in [view, Features::columns(&columns, rows).unwrap()] {
                let mut sums = sums;
                head.sum_gradient(&view, &t, &mut LossSum::new(), &mut sums, &mut scratch)
                    .unwrap();
                let r = if t[0] == 0.0 { 1.0 } else { -1.0 };
                assert_eq!(sums[0].to_f64(), r * x[0] * rows as f64);
                assert_eq!(sums[1].to_f64(), r * rows as f64);
                let given = vec![r; rows];
                let mut gram = [ColumnSum::default(); gram_length(2)];
                head.start_gram(&[scale], ColumnScale::ONE, &mut gram)
                    .unwrap();
                let mut scratch = vec![0.0; gram_scratch(2)];
                head.gram(&view, &[], Factor::Given(&given), &mut gram, &mut scratch)
                    .unwrap();
                let found = gram.map(|sum| sum.to_f64() / (r * rows as f64));
                assert_eq!(found, [x[0] * x[0], x[0], 1.0]);
            }
        }
    }
}

/// More rows than the units of an i64 accumulator hold without being taken out.
#[test]
fn half_a_million_rows() {
    let rows = 500_000;
    let (x, t) = (vec![1.0_f32; rows], vec![0.0; rows]);
    let offset = vec![200.0; rows];
    let head = Head::new(&[0.0]).offset(&offset);
    let mut sums = [ColumnSum::new(ColumnScale::ONE, ColumnScale::ONE).unwrap()];
    let mut scratch = [0.0; gradient_scratch(1)];
    let x = Features::rows(&x, rows, 1).unwrap();
    let mut loss = LossSum::new();
    head.sum_gradient(&x, &t, &mut loss, &mut sums, &mut scratch)
        .unwrap();
    assert_eq!((sums[0].to_f64(), loss.to_f64()), (5e5, 1e8));
    let mut gram = [ColumnSum::default()];
    head.start_gram(&[ColumnScale::ONE], ColumnScale::ONE, &mut gram)
        .unwrap();
    let mut scratch = vec![0.0; gram_scratch(1)];
    head.gram(&x, &t, Factor::SquaredResidual, &mut gram, &mut scratch)
        .unwrap();
    assert_eq!(gram[0].to_f64(), 5e5);
}

#[cfg(feature = "rayon")]
#[test]
fn any_number_of_threads() {
    let data = Data::<f32>::new(40_000, 6, 17);
    let options = Options {
        mode: Mode::Everything,
        backend: Backend::detect(),
    };
    let scales = Scales::new(&data, options);
    let (x, head) = (data.features(), data.head(options));
    let one = compute(&data, &x, &scales, options);
    for threads in 1..=4 {
        let empty = data.rows_of(&[]);
        let mut many = compute(&empty, &empty.features(), &scales, options);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let v = direction(&data, options);
        pool.install(|| {
            let Results {
                loss,
                gradient,
                hessian_vector,
                gram,
                sandwich,
                ..
            } = &mut many;
            let mut both = (loss.clone(), gradient.clone(), gram.clone());
            let (loss_too, gradient_too, gram_too) = (&mut both.0, &mut both.1, &mut both.2);
            let (t, of) = (&data.t, Factor::Hessian);
            head.par_sum_gradient_gram(&x, t, of, loss_too, gradient_too, gram_too)?;
            head.par_sum_gradient(&x, t, loss, gradient)?;
            head.par_hessian_vector(&x, t, &v, hessian_vector)?;
            head.par_gram(&x, t, of, gram)?;
            head.par_gram(&x, t, Factor::SquaredResidual, sandwich)?;
            assert_eq!((&both.0, &both.1, &both.2), (&*loss, &*gradient, &*gram));
            Ok::<(), Error>(())
        })
        .unwrap();
        (many.hessians, many.squares) = (one.hessians.clone(), one.squares.clone());
        assert_eq!(many, one, "{threads} threads");
    }
    let mut spoiled = data.rows_of(&(0..40_000).collect::<Vec<_>>());
    spoiled.x[6 * 39_000] = f32::NAN;
    spoiled.x[6 * 20_001 + 3] = f32::NAN;
    let mut sums = one.gradient.clone();
    let head = spoiled.head(options);
    let x = spoiled.features();
    let result = head.par_sum_gradient(&x, &spoiled.t, &mut LossSum::new(), &mut sums);
    assert!(matches!(
        result,
        Err(Error::FeatureOutOfScale {
            row: 20_001,
            column: 3,
            ..
        })
    ));
    assert_eq!(sums, one.gradient);
}

/// Every operation, on every backend, whatever the optimisation, in little stack.
#[test]
fn a_quarter_of_a_mebibyte_of_stack_is_enough() {
    fn everything<T: Element + Send>() {
        let data = Data::<T>::new(300, 20, 2);
        let transposed = data.columns();
        let slices: Vec<&[T]> = transposed.iter().map(Vec::as_slice).collect();
        for backend in Backend::available() {
            let options = Options {
                mode: Mode::Everything,
                backend,
            };
            let scales = Scales::new(&data, options);
            for x in [data.features(), Features::columns(&slices, 300).unwrap()] {
                compute(&data, &x, &scales, options);
                let mut p = vec![T::of(0.0); 300];
                data.head(options).predict(&x, &mut p).unwrap();
            }
        }
    }
    let run = || {
        everything::<f32>();
        everything::<f64>();
    };
    let thread = std::thread::Builder::new().stack_size(256 << 10);
    thread.spawn(run).unwrap().join().unwrap();
}

/// The bits themselves: any change of them is seen, on any machine. They change with the bits of `Bce`
/// (`tests/hashes.txt`), and then only.
#[test]
fn the_bits_are_the_committed_ones() {
    fn hash<T: Element>(mode: Mode) -> u64 {
        let data = Data::<T>::new(200, 19, 11);
        let backend = Backend::detect();
        let options = Options { mode, backend };
        let scales = Scales::new(&data, options);
        let results = compute(&data, &data.features(), &scales, options);
        let sums = [
            results.gradient,
            results.hessian_vector,
            results.gram,
            results.sandwich,
        ];
        let mut hash = 0xcbf2_9ce4_8422_2325;
        let bytes = sums.iter().flatten().flat_map(ColumnSum::to_bytes);
        for byte in bytes.chain(results.loss.to_bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        hash
    }
    let found = Mode::ALL.map(|mode| {
        let hashes = [hash::<f32>(mode), hash::<f64>(mode)];
        hashes.map(|hash| format!("{hash:016x}"))
    });
    assert_eq!(found, COMMITTED);
}

const COMMITTED: [[&str; 2]; 4] = [
    ["78e55351a49ba143", "af093aa55be0be9c"],
    ["10732d187b24aa74", "06da2c993306d05f"],
    ["6d2d19dfc6852393", "82664d271e7f018c"],
    ["1b570a1e646eefff", "71fe8544903c56cb"],
];

/// Where roundings take the largest residual above what exact arithmetic gives, the scale that the head
/// proposes holds all the same: of residuals, Hessians and squares.
#[test]
fn the_proposed_scales_hold() {
    fn check<T: Element>() {
        let mut random = Random(6);
        let (x, none) = ([T::of(1.0); 3], [T::of(0.0)]);
        let x = Features::rows(&x, 3, 1).unwrap();
        // The largest residual of either sign, the largest Hessian.
        let (t, offset) = (
            [T::of(1.0), T::of(0.0), T::of(1.0)],
            [T::of(-1e5), T::of(1e5), T::of(0.0)],
        );
        for case in 0..6_000 {
            let mut parts = [0; 2].map(|_| T::of(2f64.powf(6.0 * random.unit() - 3.0)));
            let [p, temperature] = &mut parts;
            match case % 3 {
                0 => *temperature = T::of(1.0),
                1 => *p = T::of(1.0),
                _ => {}
            }
            let [p, temperature] = parts;
            // Their product, or its square, is next to a power of two.
            let target = 2f64.powf((random.below(9) as f64 - 4.0) / 2.0);
            let weight = T::of(target * temperature.to() / p.to().max(1.0));
            let weights = [weight; 3];
            let bce = Bce::new().weights(&weights).pos_weight(p);
            let bce = bce.temperature(temperature);
            let head = Head::new(&none).offset(&offset).bce(bce);
            let factors = [Factor::Residual, Factor::Hessian, Factor::SquaredResidual];
            for factor in factors {
                let scale = head.factor_scale(factor).unwrap();
                let mut sums = [ColumnSum::new(ColumnScale::ONE, scale).unwrap()];
                let mut scratch = [0.0; gradient_scratch(1)];
                let result = head.column_sums(&x, &t, factor, &mut sums, &mut scratch);
                assert_eq!(
                    result,
                    Ok(()),
                    "{factor:?} {p:?} {temperature:?} {weight:?}"
                );
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

/// Those of the C functions: `capi/tests/rows.h` has the same rows, `capi/tests/test.c` the same hashes.
#[test]
fn the_bits_are_those_of_c() {
    fn hash<T: Element>() -> Result<u64, Error> {
        let (rows, columns, groups) = (203, 19, 3);
        let (mut x, mut scales) = (Vec::new(), vec![ColumnScale::ZERO; columns]);
        for i in 0..rows {
            let of_row = (0..columns).map(|j| ((i * 7 + j * 13 + i * j) % 29) as f64 - 14.0);
            x.extend(of_row.map(|x| T::of(x / 8.0)));
        }
        let column = |of: fn(usize) -> f64| (0..rows).map(|i| T::of(of(i))).collect::<Vec<T>>();
        let t = column(|i| (i * 5 % 17) as f64 / 16.0);
        let weights = column(|i| (i % 5) as f64 / 4.0);
        let offset = column(|i| ((i % 9) as f64 - 4.0) / 8.0);
        let of_group: Vec<u32> = (0..rows).map(|i| (i % groups) as u32).collect();
        let mut direction: Vec<T> = (0..columns)
            .map(|j| T::of(((j % 7) as f64 - 3.0) / 4.0))
            .collect();
        direction.push(T::of(0.25));
        let bce = Bce::new()
            .weights(&weights)
            .pos_weight(T::of(3.0))
            .label_smoothing(T::of(0.125))
            .temperature(T::of(0.75));
        let head = Head::new(&direction[..columns]).intercept(T::of(0.25));
        let head = head.offset(&offset).bce(bce);
        let x = Features::rows(&x, rows, columns)?;
        scan(&x, &mut scales)?;
        let start = |factor| {
            let mut sums = vec![ColumnSum::default(); columns + 1];
            head.start_gradient(&scales, factor, &mut sums)?;
            Ok::<_, Error>(sums)
        };
        let start_gram = |factor| {
            let mut sums = vec![ColumnSum::default(); gram_length(columns + 1)];
            head.start_gram(&scales, factor, &mut sums)?;
            Ok::<_, Error>(sums)
        };
        let mut gradient = start(head.residual_scale()?)?;
        let mut grouped = gradient.repeat(groups);
        let mut gram = start_gram(head.hessian_scale()?)?;
        let mut squares = start_gram(head.factor_scale(Factor::SquaredResidual)?)?;
        let mut products = start(head.hessian_vector_scale(&scales, &direction)?)?;
        let mut loss = LossSum::new();
        let mut scratch = vec![0.0; gradient_gram_scratch(columns + 1)];
        head.gram(&x, &t, Factor::SquaredResidual, &mut squares, &mut scratch)?;
        let (into, of) = (&mut gradient, Factor::Hessian);
        head.sum_gradient_gram(&x, &t, of, &mut loss, into, &mut gram, &mut scratch)?;
        head.hessian_vector(&x, &t, &direction, &mut products, &mut scratch)?;
        head.group_gradient(&x, &t, &of_group, &mut loss, &mut grouped, &mut scratch)?;
        let given = Factor::Given(&t);
        head.group_sums(&x, &[], given, &of_group, &mut grouped, &mut scratch)?;
        let (mut z, mut p) = (vec![T::of(0.0); rows], vec![T::of(0.0); rows]);
        head.logits(&x, &mut z)?;
        head.predict(&x, &mut p)?;
        let sums = [gradient, products, gram, squares, grouped];
        let mut hash = 0xcbf2_9ce4_8422_2325;
        let mut mix = |bytes: &[u8]| {
            for byte in bytes {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        sums.iter().flatten().for_each(|sum| mix(&sum.to_bytes()));
        mix(&loss.to_bytes());
        for value in z.iter().chain(&p) {
            mix(&value.bits().to_le_bytes()[..size_of::<T>()]);
        }
        Ok(hash)
    }
    let hashes = [hash::<f32>(), hash::<f64>()];
    let hashes = hashes.map(|hash| hash.map(|hash| format!("{hash:016x}")));
    assert_eq!(hashes, OF_C.map(|hash| Ok(hash.to_owned())));
}

const OF_C: [&str; 2] = ["c03eea4dd031841f", "ec9f19553e248f5a"];
