//! The bits do not depend on the layout, and are the kernel's.

use ndarray::{ArrayD, ArrayRef, ArrayViewD, ArrayViewMutD, Axis, IxDyn, Slice};
use proptest::prelude::*;
use soft_bce::Error::InvalidOption;
use soft_bce::{Focal, SquaredError};
use soft_bce_ndarray::{Bce, Error, LossSum, map};

/// What memory around the elements of an array holds.
const AROUND: f32 = 77.0;

/// How an array lies in memory: the order of its axes there, and the step along each.
#[derive(Clone, Debug)]
struct Layout {
    order: Vec<usize>,
    steps: Vec<isize>,
}

/// Memory that holds an array in some layout.
struct Laid {
    memory: ArrayD<f32>,
    layout: Layout,
}

impl Laid {
    fn new(shape: &[usize], layout: &Layout) -> Self {
        let length = |&axis: &usize| shape[axis] * layout.steps[axis].unsigned_abs() + 1;
        let shape: Vec<usize> = layout.order.iter().map(length).collect();
        Self {
            memory: ArrayD::from_elem(shape, AROUND),
            layout: layout.clone(),
        }
    }

    fn holding(values: &ArrayD<f32>, layout: &Layout) -> Self {
        let mut laid = Self::new(values.shape(), layout);
        laid.view_mut().assign(values);
        laid
    }

    fn slice(&self, axis: usize) -> Slice {
        Slice::new(1, None, self.layout.steps[self.layout.order[axis]])
    }

    /// For each axis of the array, its place in memory.
    fn places(&self) -> Vec<usize> {
        let order = &self.layout.order;
        (0..order.len())
            .filter_map(|axis| order.iter().position(|&other| other == axis))
            .collect()
    }

    fn view(&self) -> ArrayViewD<'_, f32> {
        let view = self
            .memory
            .slice_each_axis(|axis| self.slice(axis.axis.index()));
        view.permuted_axes(self.places())
    }

    fn view_mut(&mut self) -> ArrayViewMutD<'_, f32> {
        let slices: Vec<Slice> = (0..self.layout.order.len())
            .map(|axis| self.slice(axis))
            .collect();
        let places = self.places();
        let view = self
            .memory
            .slice_each_axis_mut(|axis| slices[axis.axis.index()]);
        view.permuted_axes(places)
    }

    /// How many cells of the memory are none of the array's and hold what they held.
    fn untouched(&self) -> bool {
        let kept = self
            .memory
            .iter()
            .filter(|value| value.to_bits() == AROUND.to_bits())
            .count();
        kept >= self.memory.len() - self.view().len()
    }
}

fn bits<D: ndarray::Dimension>(array: &ArrayRef<f32, D>) -> Vec<u32> {
    array.iter().map(|value| value.to_bits()).collect()
}

fn shapes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        prop::collection::vec(1_usize..=6, 0..=4),
        (
            prop::sample::select(vec![1_usize, 2, 3, 40]),
            100_usize..=700
        )
            .prop_map(|(a, b)| vec![a, b]),
        (100_usize..=700, 1_usize..=3).prop_map(|(a, b)| vec![a, b]),
        prop::collection::vec(0_usize..=2, 1..=3),
    ]
}

fn layouts(axes: usize) -> impl Strategy<Value = Layout> {
    let order = Just((0..axes).collect::<Vec<_>>()).prop_shuffle();
    let step = prop::sample::select(vec![1_isize, 1, 1, -1, 2, -3]);
    (order, prop::collection::vec(step, axes)).prop_map(|(order, steps)| Layout { order, steps })
}

/// A shape, a layout for each of seven arrays, and a seed for the elements.
fn cases() -> impl Strategy<Value = (Vec<usize>, Vec<Layout>, u64)> {
    shapes().prop_flat_map(|shape| {
        let axes = shape.len();
        let alike = layouts(axes).prop_map(|layout| vec![layout; 7]);
        let all = prop_oneof![prop::collection::vec(layouts(axes), 7), alike];
        (Just(shape), all, any::<u64>())
    })
}

/// Numbers in [0, 1), by Knuth's MMIX generator.
fn numbers(seed: u64, shape: &[usize]) -> ArrayD<f32> {
    let mut state = seed;
    ArrayD::from_shape_simple_fn(shape, || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_operation((shape, layouts, seed) in cases(), weighted: bool, parallel: bool) {
        let z = numbers(seed, &shape).mapv(|u| (u - 0.5) * 30.0);
        let t = numbers(seed ^ 1, &shape);
        let w = numbers(seed ^ 2, &shape);
        let count = z.len();
        let flat = |array: &ArrayD<f32>| array.iter().copied().collect::<Vec<f32>>();
        let (fz, ft, fw) = (flat(&z), flat(&t), flat(&w));
        let kernel = soft_bce::Bce::new().label_smoothing(0.1);
        let kernel = if weighted { kernel.weights(&fw) } else { kernel };

        let (z, t, w) = (
            Laid::holding(&z, &layouts[0]),
            Laid::holding(&t, &layouts[1]),
            Laid::holding(&w, &layouts[2]),
        );
        let (z, t, w) = (z.view(), t.view(), w.view());
        let bce = Bce::new().label_smoothing(0.1);
        let bce = if weighted { bce.weights(&w) } else { bce };
        #[cfg(feature = "rayon")]
        let bce = if parallel { bce.parallel() } else { bce };
        let _ = parallel;

        let mut outputs = [3, 4, 5].map(|index| Laid::new(&shape, &layouts[index]));
        let [loss, gradient, hessian] = &mut outputs;
        let (mut floss, mut fgradient, mut fhessian) = (vec![0.0; count], vec![0.0; count], vec![0.0; count]);
        let of = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();

        bce.loss(&z, &t, &mut loss.view_mut()).unwrap();
        kernel.loss(&fz, &ft, &mut floss).unwrap();
        prop_assert_eq!(bits(&loss.view()), of(&floss));

        bce.gradient(&z, &t, &mut gradient.view_mut()).unwrap();
        kernel.gradient(&fz, &ft, &mut fgradient).unwrap();
        prop_assert_eq!(bits(&gradient.view()), of(&fgradient));

        gradient.view_mut().fill(0.0);
        bce.gradient_hessian(&z, &t, &mut gradient.view_mut(), &mut hessian.view_mut()).unwrap();
        kernel.gradient_hessian(&fz, &ft, &mut fgradient, &mut fhessian).unwrap();
        prop_assert_eq!(bits(&gradient.view()), of(&fgradient));
        prop_assert_eq!(bits(&hessian.view()), of(&fhessian));

        let sum = kernel.sum(&fz, &ft).unwrap().to_bits();
        prop_assert_eq!(bce.sum(&z, &t).unwrap().to_bits(), sum);
        gradient.view_mut().fill(0.0);
        prop_assert_eq!(bce.sum_gradient(&z, &t, &mut gradient.view_mut()).unwrap().to_bits(), sum);
        prop_assert_eq!(bits(&gradient.view()), of(&fgradient));
        gradient.view_mut().fill(0.0);
        hessian.view_mut().fill(0.0);
        let found = bce.sum_gradient_hessian(&z, &t, &mut gradient.view_mut(), &mut hessian.view_mut());
        prop_assert_eq!(found.unwrap().to_bits(), sum);
        prop_assert_eq!(bits(&gradient.view()), of(&fgradient));
        prop_assert_eq!(bits(&hessian.view()), of(&fhessian));

        for output in [&mut *loss, &mut *gradient, &mut *hessian] {
            output.view_mut().fill(0.0);
        }
        bce.loss_gradient(&z, &t, &mut loss.view_mut(), &mut gradient.view_mut()).unwrap();
        prop_assert_eq!((bits(&loss.view()), bits(&gradient.view())), (of(&floss), of(&fgradient)));
        loss.view_mut().fill(0.0);
        gradient.view_mut().fill(0.0);
        let all = [&mut *loss, &mut *gradient, &mut *hessian].map(Laid::view_mut);
        let [mut l, mut g, mut h] = all;
        bce.loss_gradient_hessian(&z, &t, &mut l, &mut g, &mut h).unwrap();
        prop_assert_eq!((bits(&l), bits(&g), bits(&h)), (of(&floss), of(&fgradient), of(&fhessian)));

        let (mut found, mut wanted) = ([const { LossSum::new() }; 3], LossSum::new());
        let [sum_alone, with_gradient, with_both] = &mut found;
        bce.accumulate(&z, &t, sum_alone).unwrap();
        g.fill(0.0);
        bce.accumulate_gradient(&z, &t, with_gradient, &mut g).unwrap();
        prop_assert_eq!(bits(&g), of(&fgradient));
        g.fill(0.0);
        h.fill(0.0);
        bce.accumulate_gradient_hessian(&z, &t, with_both, &mut g, &mut h).unwrap();
        prop_assert_eq!((bits(&g), bits(&h)), (of(&fgradient), of(&fhessian)));
        kernel.accumulate(&fz, &ft, &mut wanted).unwrap();
        prop_assert_eq!(found.map(|sum| sum.to_bytes()), [wanted.to_bytes(); 3]);

        let wanted = kernel.mean(&fz, &ft).map(f64::to_bits).map_err(Error::Kernel);
        prop_assert_eq!(bce.mean(&z, &t).map(f64::to_bits), wanted);
        let wanted = kernel.mean_gradient(&fz, &ft, &mut fgradient).map(f64::to_bits).map_err(Error::Kernel);
        prop_assert_eq!(bce.mean_gradient(&z, &t, &mut gradient.view_mut()).map(f64::to_bits), wanted);
        prop_assert_eq!(bits(&gradient.view()), of(&fgradient));

        let mut in_place = Laid::holding(&z.to_owned(), &layouts[6]);
        bce.gradient_in_place(&mut in_place.view_mut(), &t).unwrap();
        kernel.gradient(&fz, &ft, &mut fgradient).unwrap();
        prop_assert_eq!(bits(&in_place.view()), of(&fgradient));

        map(soft_bce::sigmoid, &z, &mut loss.view_mut()).unwrap();
        soft_bce::sigmoid(&fz, &mut floss).unwrap();
        prop_assert_eq!(bits(&loss.view()), of(&floss));

        prop_assert!(in_place.untouched() && outputs.iter().all(Laid::untouched));
    }

    /// The first bad element in row-major order is named, and outputs are NaN.
    #[test]
    fn errors((shape, layouts, seed) in cases(), bad in prop::collection::vec(any::<prop::sample::Index>(), 1..=3)) {
        let z = numbers(seed, &shape);
        prop_assume!(!z.is_empty());
        let mut t = numbers(seed ^ 1, &shape);
        let places: Vec<usize> = bad.iter().map(|bad| bad.index(t.len())).collect();
        for &place in &places {
            *t.iter_mut().nth(place).unwrap() = 1.5;
        }
        let first = *places.iter().min().unwrap();
        let index = z.indexed_iter().nth(first).unwrap().0;
        let wanted = Error::Element {
            index: (0..shape.len()).map(|axis| index[axis]).collect(),
            error: soft_bce::Error::TargetOutOfRange { index: first, value: 1.5 },
        };

        let (z, t) = (Laid::holding(&z, &layouts[0]), Laid::holding(&t, &layouts[1]));
        let (mut gradient, mut hessian) = (Laid::new(&shape, &layouts[2]), Laid::new(&shape, &layouts[3]));
        let bce = Bce::new();
        let found = bce.sum_gradient_hessian(&z.view(), &t.view(), &mut gradient.view_mut(), &mut hessian.view_mut());
        prop_assert_eq!(found, Err(wanted.clone()));
        prop_assert!(gradient.view().iter().chain(&hessian.view()).all(|value| value.is_nan()));
        prop_assert!(gradient.untouched() && hessian.untouched());

        let mut sum = LossSum::new();
        prop_assert_eq!(bce.accumulate(&z.view(), &t.view(), &mut sum), Err(wanted.clone()));
        prop_assert_eq!(sum, LossSum::new());
        let mut in_place = Laid::holding(&z.view().to_owned(), &layouts[4]);
        prop_assert_eq!(bce.gradient_in_place(&mut in_place.view_mut(), &t.view()), Err(wanted.clone()));
        prop_assert_eq!(in_place.view(), z.view());
        prop_assert_eq!(map(soft_bce::logit, &t.view(), &mut gradient.view_mut()), Err(wanted));
        prop_assert!(gradient.view().iter().all(|value| value.is_nan()));
    }

    /// Weights along an axis are those of an array that repeats them; a `pos_weight` for each class
    /// is that of the class alone.
    #[test]
    fn weights_by_axis((shape, layouts, seed) in cases(), axis: prop::sample::Index, parallel: bool) {
        prop_assume!(!shape.is_empty());
        let axis = axis.index(shape.len());
        let z = numbers(seed, &shape).mapv(|u| (u - 0.5) * 30.0);
        let t = numbers(seed ^ 1, &shape);
        let values: Vec<f32> = numbers(seed ^ 2, &[shape[axis]]).mapv(|u| u + 0.5).into_raw_vec_and_offset().0;
        let bce = Bce::new();
        #[cfg(feature = "rayon")]
        let bce = if parallel { bce.parallel() } else { bce };
        let _ = parallel;
        let (laid_z, laid_t) = (Laid::holding(&z, &layouts[0]), Laid::holding(&t, &layouts[1]));
        let mut gradient = Laid::new(&shape, &layouts[2]);

        let repeated = ArrayD::from_shape_fn(IxDyn(&shape), |index| values[index[axis]]);
        let mut wanted = ArrayD::zeros(shape.clone());
        let mean = Bce::new().weights(&repeated).mean_gradient(&z, &t, &mut wanted);
        let along = bce.clone().weights_along(Axis(axis), &values);
        prop_assert_eq!(along.mean_gradient(&laid_z.view(), &laid_t.view(), &mut gradient.view_mut()), mean);
        prop_assert_eq!(bits(&gradient.view()), bits(&wanted));

        // The kernel takes classes side by side.
        let last = shape.len() - 1;
        let classes_last = |array: &ArrayD<f32>| {
            let mut swapped = array.view();
            swapped.swap_axes(axis, last);
            (swapped.iter().copied().collect::<Vec<_>>(), swapped.raw_dim())
        };
        let ((fz, dim), (ft, _)) = (classes_last(&z), classes_last(&t));
        let (mut fgradient, mut sum) = (vec![0.0; fz.len()], LossSum::new());
        if !fz.is_empty() {
            let kernel = soft_bce::Bce::new().pos_weights(&values);
            kernel.accumulate_gradient(&fz, &ft, &mut sum, &mut fgradient).unwrap();
        }
        let mut wanted = ArrayD::from_shape_vec(dim, fgradient).unwrap();
        wanted.swap_axes(axis, last);
        let classes = bce.pos_weights(Axis(axis), &values);
        let found = classes.sum_gradient(&laid_z.view(), &laid_t.view(), &mut gradient.view_mut());
        prop_assert_eq!(found.unwrap().to_bits(), sum.to_f64().to_bits());
        prop_assert_eq!(bits(&gradient.view()), bits(&wanted));
        // Without gaps, all classes of a row go to the kernel at once.
        let mut row_major = ArrayD::zeros(shape.clone());
        prop_assert_eq!(classes.sum_gradient(&z, &t, &mut row_major).unwrap().to_bits(), sum.to_f64().to_bits());
        prop_assert_eq!(bits(&row_major), bits(&wanted));
        let mut in_place = Laid::holding(&z, &layouts[0]);
        classes.gradient_in_place(&mut in_place.view_mut(), &laid_t.view()).unwrap();
        prop_assert_eq!(bits(&in_place.view()), bits(&wanted));
        let mut in_place = z.clone();
        classes.gradient_in_place(&mut in_place, &t).unwrap();
        prop_assert_eq!(bits(&in_place), bits(&wanted));
    }
}

/// Options that reach the kernel as they are, through the stack too.
#[test]
fn options_of_the_kernel() {
    let z = numbers(1, &[30, 40]).mapv(|u| (u - 0.5) * 30.0);
    let u = numbers(2, &[30, 40]).mapv(|u| (u - 0.5) * 60.0);
    let mut t = numbers(3, &[30, 40]);
    t[[7, 9]] = 1.001;
    let flat = |array: &ArrayD<f32>| array.t().iter().copied().collect::<Vec<f32>>();
    for (bce, kernel, targets) in [
        (
            Bce::new().temperature(2.5).logit_targets(),
            soft_bce::Bce::new().temperature(2.5).logit_targets(),
            &u,
        ),
        (
            Bce::new().target_tolerance(0.01),
            soft_bce::Bce::new().target_tolerance(0.01),
            &t,
        ),
        (
            Bce::squared_error().temperature(2.5).target_tolerance(0.01),
            SquaredError::new().temperature(2.5).target_tolerance(0.01),
            &t,
        ),
        (
            Bce::focal(1.5).target_tolerance(0.01),
            Focal::new(1.5).target_tolerance(0.01),
            &t,
        ),
    ] {
        let mut gradient = ArrayD::zeros(vec![40, 30]);
        let columns = targets.t().as_standard_layout().into_owned();
        let found = bce.mean_gradient(&z.t(), &columns, &mut gradient).unwrap();
        let mut wanted = vec![0.0; z.len()];
        let mean = kernel
            .mean_gradient(&flat(&z), &flat(targets), &mut wanted)
            .unwrap();
        assert_eq!(found.to_bits(), mean.to_bits());
        assert!(
            gradient
                .iter()
                .map(|g| g.to_bits())
                .eq(wanted.iter().map(|g| g.to_bits()))
        );
    }
    let both = Bce::new().pos_weight(2.0).pos_weights(Axis(1), &[1.0; 40]);
    for rows in [0, 30] {
        let some = z.slice_axis(Axis(0), (..rows).into());
        let refused = both.sum(&some, &some);
        assert!(matches!(
            refused,
            Err(Error::Kernel(soft_bce::Error::UnsupportedOptions { .. }))
        ));
    }
    let refused = Bce::focal(-1.0).sum(&z, &u);
    assert!(matches!(refused, Err(Error::Kernel(InvalidOption { .. }))));
    let refused = Bce::new().logit_targets().label_smoothing(0.5).sum(&z, &u);
    assert!(matches!(
        refused,
        Err(Error::Kernel(soft_bce::Error::UnsupportedOptions { .. }))
    ));
}

#[test]
fn shapes_and_options_are_checked() {
    let (z, t) = (
        ArrayD::<f32>::zeros(vec![2, 3]),
        ArrayD::<f32>::zeros(vec![3, 2]),
    );
    let mut out = ArrayD::<f32>::zeros(vec![2, 3]);
    let shape = |argument, expected: &[usize], found: &[usize]| Error::Shape {
        argument,
        expected: expected.to_vec(),
        found: found.to_vec(),
    };
    assert_eq!(
        Bce::new().gradient(&z, &t, &mut out),
        Err(shape("targets", &[2, 3], &[3, 2]))
    );
    assert!(out.iter().all(|value| value.is_nan()));
    let mut small = ArrayD::<f32>::zeros(vec![2, 2]);
    assert_eq!(
        Bce::new().gradient(&z, &z, &mut small),
        Err(shape("an output", &[2, 3], &[2, 2]))
    );
    assert!(small.iter().all(|value| value.is_nan()));
    assert_eq!(
        map(soft_bce::sigmoid, &z, &mut small),
        Err(shape("an output", &[2, 3], &[2, 2]))
    );

    let bce = Bce::new();
    assert_eq!(
        bce.clone().weights(&t).sum(&z, &z),
        Err(shape("weights", &[2, 3], &[3, 2]))
    );
    let along = |axis, values| Bce::new().weights_along(Axis(axis), values).sum(&z, &z);
    assert_eq!(along(1, &[1.0]), Err(shape("weights", &[3], &[1])));
    assert_eq!(
        along(2, &[1.0]),
        Err(Error::Axis {
            option: "weights",
            axis: 2,
            axes: 2
        })
    );
    let bad_row = Error::Element {
        index: vec![1, 0],
        error: soft_bce::Error::InvalidWeight {
            index: 3,
            value: -1.0,
        },
    };
    assert_eq!(along(0, &[1.0, -1.0]), Err(bad_row));
    let classes = |axis, values| Bce::new().pos_weights(Axis(axis), values).sum(&z, &z);
    assert_eq!(
        classes(1, &[1.0, 1.0]),
        Err(shape("pos_weights", &[3], &[2]))
    );
    assert_eq!(
        classes(0, &[1.0, 0.0]),
        Err(Error::PosWeight {
            class: 1,
            value: 0.0
        })
    );
    let none = bce.clone().pos_weight(0.0).sum(&z, &z);
    let InvalidOption { option, value, .. } = kernel_error(none) else {
        panic!("another error");
    };
    assert_eq!((option, value), ("pos_weight", 0.0));
}

fn kernel_error<T>(result: Result<T, Error>) -> soft_bce::Error {
    match result {
        Err(Error::Kernel(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("no error"),
    }
}

#[test]
fn nothing() {
    let nothing = ndarray::Array2::<f32>::zeros((0, 3));
    assert_eq!(Bce::new().sum(&nothing, &nothing), Ok(0.0));
    assert_eq!(
        Bce::new().mean(&nothing, &nothing),
        Err(Error::Kernel(soft_bce::Error::Empty))
    );
    let refused = Bce::new().label_smoothing(2.0).mean(&nothing, &nothing);
    assert!(matches!(kernel_error(refused), InvalidOption { .. }));
    let classes = Bce::new().pos_weights(Axis(0), &[]).sum(&nothing, &nothing);
    assert_eq!(classes, Ok(0.0));
}

/// Arrays that repeat themselves in memory, and one that runs over large strides.
#[test]
fn broadcast_views() {
    let (row, column) = (numbers(1, &[1, 300]), numbers(2, &[200, 1]));
    let shape = IxDyn(&[200, 300]);
    let (z, t) = (
        row.broadcast(shape.clone()).unwrap(),
        column.broadcast(shape).unwrap(),
    );
    let wanted = Bce::new().sum(&z.to_owned(), &t.to_owned());
    assert_eq!(Bce::new().sum(&z, &t), wanted);
    assert_eq!(
        Bce::new().weights(&row).mean(&z, &t),
        Bce::new()
            .weights(&z.to_owned())
            .mean(&z.to_owned(), &t.to_owned())
    );
}

#[test]
fn f64_too() {
    let z =
        ndarray::Array2::from_shape_fn((70, 30), |(row, column)| row as f64 - 3.0 * column as f64);
    let t = ndarray::Array2::from_shape_fn((30, 70), |(row, column)| {
        ((row * column) % 11) as f64 / 10.0
    });
    let mut gradient = ndarray::Array2::zeros((70, 30));
    let sum = Bce::new().sum_gradient(&z, &t.t(), &mut gradient).unwrap();
    let (fz, ft): (Vec<f64>, Vec<f64>) =
        (z.iter().copied().collect(), t.t().iter().copied().collect());
    let mut wanted = vec![0.0; fz.len()];
    assert_eq!(
        sum,
        soft_bce::Bce::new()
            .sum_gradient(&fz, &ft, &mut wanted)
            .unwrap()
    );
    assert_eq!(gradient.iter().copied().collect::<Vec<_>>(), wanted);
}

/// Totals below 1 and beyond the range of the type, and losses that overflow where the mean does not.
#[test]
fn means_with_weights_of_any_size() {
    let z = numbers(1, &[40, 30]).mapv(|u| (u - 0.5) * 30.0);
    let t = numbers(2, &[40, 30]);
    let columns = |array: &ArrayD<f32>| array.t().as_standard_layout().into_owned();
    for size in [1e-44_f32, 1e-38, 1e-6, 1.0, 1e36, 2e38] {
        let w = numbers(3, &[40, 30]).mapv(|u| u * size);
        let (mut rows, mut gradient) = (z.clone(), z.clone());
        let wanted = Bce::new()
            .weights(&w)
            .mean_gradient(&z, &t, &mut rows)
            .unwrap();
        assert!(wanted > 0.1 && wanted < 10.0, "{wanted}");
        let bce = Bce::new().weights(&w);
        let found = bce
            .mean_gradient(&columns(&z).t(), &t, &mut gradient)
            .unwrap();
        assert_eq!(found.to_bits(), wanted.to_bits(), "weights of size {size}");
        assert_eq!(bits(&gradient), bits(&rows), "weights of size {size}");
        // The same again, as weights of rows.
        let row: Vec<f32> = w.index_axis(Axis(1), 0).iter().copied().collect();
        let full = ArrayD::from_shape_fn(IxDyn(&[40, 30]), |index| row[index[0]]);
        let wanted = Bce::new().weights(&full).mean_gradient(&z, &t, &mut rows);
        let along = Bce::new().weights_along(Axis(0), &row);
        assert_eq!(along.mean_gradient(&z, &t, &mut gradient), wanted);
        assert_eq!(bits(&gradient), bits(&rows), "weights of size {size}");
    }
}

#[test]
fn a_total_weight_beyond_f64() {
    let z = ndarray::array![[1.0, -2.0], [0.5, 3.0]];
    let (t, w) = (
        ndarray::array![[0.5, 0.25], [1.0, 0.0]],
        ndarray::array![[1e308, 1.5e308], [0.5e308, 1e308]],
    );
    let (mut rows, mut columns) = (z.clone(), z.clone());
    let mean = Bce::new()
        .weights(&w)
        .mean_gradient(&z, &t, &mut rows)
        .unwrap();
    assert!(mean > 0.5 && mean < 3.0);
    let copied = z.t().as_standard_layout().into_owned();
    let found = Bce::new()
        .weights(&w)
        .mean_gradient(&copied.t(), &t, &mut columns);
    assert_eq!((found, columns), (Ok(mean), rows));
}
