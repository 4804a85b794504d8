//! Every length up to 300, flush against memory that may not be touched, before it and behind it:
//! a load or store one element too far ends the process.
#![cfg(unix)]

use soft_bce::{Backend, Bce, LossSum, Real};
use std::ptr;

/// Memory between two pages that trap.
struct Guarded {
    mapping: *mut libc::c_void,
    page: usize,
    /// Those that may be used.
    pages: usize,
}

impl Guarded {
    /// One page: 300 `f64` fit.
    fn new() -> Self {
        Self::of_pages(1)
    }

    fn of_pages(pages: usize) -> Self {
        // SAFETY: asks a number of the system.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        // SAFETY: a new private mapping, at an address of the system's choice.
        let mapping = unsafe {
            libc::mmap(
                ptr::null_mut(),
                (pages + 2) * page,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(mapping, libc::MAP_FAILED);
        let guarded = Self {
            mapping,
            page,
            pages,
        };
        // SAFETY: the pages between the first and the last of that mapping.
        let outcome = unsafe {
            libc::mprotect(
                mapping.wrapping_byte_add(page),
                pages * page,
                libc::PROT_READ | libc::PROT_WRITE,
            )
        };
        assert_eq!(outcome, 0);
        guarded
    }

    /// `length` elements right behind the first trap, or right before the last.
    fn slice<T: Element>(&mut self, length: usize, at_end: bool) -> &mut [T] {
        let room = (self.pages * self.page).checked_sub(length * size_of::<T>());
        let room = room.expect("more pages");
        let start = self.page + if at_end { room } else { 0 };
        // SAFETY: inside the accessible pages, a multiple of the element's size from a page's start, zeroed or
        // written as floats; borrowed from `self`.
        unsafe {
            std::slice::from_raw_parts_mut(self.mapping.wrapping_byte_add(start).cast(), length)
        }
    }

    fn filled<T: Element>(&mut self, values: &[T], at_end: bool) -> &mut [T] {
        let slice = self.slice(values.len(), at_end);
        slice.copy_from_slice(values);
        slice
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made; no slice of it outlives `self`.
        unsafe { libc::munmap(self.mapping, (self.pages + 2) * self.page) };
    }
}

trait Element: Real + PartialEq + std::fmt::Debug {
    fn of(value: f64) -> Self;
    fn exact<'a>(bce: Bce<'a, Self>) -> Option<Bce<'a, Self>>;
}

impl Element for f32 {
    fn of(value: f64) -> Self {
        value as f32
    }
    fn exact<'a>(bce: Bce<'a, Self>) -> Option<Bce<'a, Self>> {
        Some(bce.exact())
    }
}

impl Element for f64 {
    fn of(value: f64) -> Self {
        value
    }
    fn exact<'a>(_: Bce<'a, Self>) -> Option<Bce<'a, Self>> {
        None
    }
}

const LONGEST: usize = 300;

/// Some logits need the full kernel, at any place in a lane.
fn logits<T: Element>() -> Vec<T> {
    let logit = |i: usize| match i % 37 {
        0 => 800.0,
        1 => -95.0,
        _ => (i * 7919 % 1000) as f64 / 50.0 - 10.0,
    };
    (0..LONGEST).map(logit).map(T::of).collect()
}

fn units<T: Element>(step: usize) -> Vec<T> {
    let unit = |i: usize| (i * step % 1009) as f64 / 1009.0;
    (0..LONGEST).map(unit).map(T::of).collect()
}

/// Everything that one backend computes on these inputs in `places`: z, t, weights, two outputs.
/// Results come back in ordinary memory.
fn everything<T: Element>(
    [z, t, w]: [&[T]; 3],
    backend: Backend,
    places: &mut [Guarded; 5],
    at_end: bool,
) -> (Vec<u64>, Vec<Vec<T>>) {
    let [for_z, for_t, for_w, for_a, for_b] = places;
    let fresh = vec![T::of(7.0); z.len()];
    let plain = Bce::new().backend(backend).expect("it is available");
    let shaped = plain.pos_weight(T::of(3.0)).label_smoothing(T::of(0.1));
    let t = &*for_t.filled(t, at_end);
    let w = &*for_w.filled(w, at_end);
    let modes = [
        Some(plain),
        Some(shaped.weights(w)),
        Some(plain.excess()),
        Some(plain.excess().weights(w)),
        T::exact(plain),
    ];

    let (mut numbers, mut arrays) = (Vec::new(), Vec::new());
    for bce in modes.into_iter().flatten() {
        let logits = &*for_z.filled(z, at_end);
        let a = for_a.filled(&fresh, at_end);
        let b = for_b.filled(&fresh, at_end);
        let mut sum = LossSum::new();
        bce.accumulate(logits, t, &mut sum).unwrap();
        numbers.push(sum.to_f64().to_bits());
        numbers.push(bce.sum(logits, t).unwrap().to_bits());
        bce.loss(logits, t, a).unwrap();
        arrays.push(a.to_vec());
        bce.gradient(logits, t, a).unwrap();
        arrays.push(a.to_vec());
        numbers.push(bce.sum_gradient(logits, t, a).unwrap().to_bits());
        arrays.push(a.to_vec());
        if let Ok(mean) = bce.mean_gradient(logits, t, a) {
            numbers.extend([mean, bce.mean(logits, t).unwrap()].map(f64::to_bits));
            arrays.push(a.to_vec());
        }
        bce.gradient_hessian(logits, t, a, b).unwrap();
        arrays.extend([a.to_vec(), b.to_vec()]);
        let sum = bce.sum_gradient_hessian(logits, t, a, b).unwrap();
        numbers.push(sum.to_bits());
        arrays.extend([a.to_vec(), b.to_vec()]);
        let in_place = for_z.slice(z.len(), at_end);
        bce.gradient_in_place(in_place, t).unwrap();
        arrays.push(in_place.to_vec());
    }
    (numbers, arrays)
}

/// One end after the other, against the same calls of the fastest backend.
fn check<T: Element>() {
    let (z, t, w) = (logits::<T>(), units::<T>(104_729), units::<T>(7919));
    let mut places = std::array::from_fn(|_| Guarded::new());
    let mut calls = 0;
    for length in 0..=LONGEST {
        let inputs = [&z[..length], &t[..length], &w[..length]];
        let expected = everything(inputs, Backend::detect(), &mut places, false);
        for backend in Backend::available() {
            for at_end in [false, true] {
                let computed = everything(inputs, backend, &mut places, at_end);
                assert!(computed == expected, "{} of {length}", backend.name());
                calls += 1;
            }
        }
    }
    assert!(
        calls >= 2 * 2 * (LONGEST + 1),
        "{calls} combinations: Scalar and Wide run everywhere"
    );
}

#[test]
fn every_backend_stays_in_its_slices_f32() {
    check::<f32>();
}

#[test]
fn every_backend_stays_in_its_slices_f64() {
    check::<f64>();
}

type Function<T> = fn(&[T], &mut [T]) -> Result<(), soft_bce::Error>;

/// These choose their backend themselves.
fn check_functions<T: Element>(of_logits: &[Function<T>]) {
    let (z, p) = (logits::<T>(), units::<T>(7919));
    let [mut from, mut to] = std::array::from_fn(|_| Guarded::new());
    let mut calls = 0;
    for length in 0..=LONGEST {
        let all = of_logits.iter().map(|function| (function, &z));
        let logit: Function<T> = soft_bce::logit;
        for (function, values) in all.chain([(&logit, &p)]) {
            let values = &values[..length];
            let mut expected = vec![T::of(7.0); length];
            function(values, &mut expected).unwrap();
            for at_end in [false, true] {
                let out = to.slice(length, at_end);
                function(from.filled(values, at_end), out).unwrap();
                assert_eq!(out, expected);
                calls += 1;
            }
        }
    }
    assert_eq!(calls, 2 * (LONGEST + 1) * (of_logits.len() + 1));
}

#[test]
fn functions_of_one_argument_stay_in_their_slices() {
    check_functions::<f64>(&[soft_bce::sigmoid, soft_bce::log_sigmoid, soft_bce::softplus]);
    check_functions::<f32>(&[
        soft_bce::sigmoid,
        soft_bce::log_sigmoid,
        soft_bce::softplus,
        soft_bce::exact::sigmoid,
        soft_bce::exact::log_sigmoid,
        soft_bce::exact::softplus,
    ]);
}

/// Outputs from 16 MiB on, which are written past the caches: a few lengths that end within a lane, and
/// starts that are not aligned for such stores.
fn check_streamed<T: Element>() {
    let least = (16 << 20) / size_of::<T>();
    let lengths = [0, 1, 15, 16, 99].map(|more| least + more);
    let repeated =
        |values: Vec<T>| -> Vec<T> { values.iter().copied().cycle().take(least + 99).collect() };
    let (z, t) = (repeated(logits()), repeated(units(104_729)));
    let pages = (16 << 20) / 4096 + 1;
    let mut places: [Guarded; 4] = std::array::from_fn(|_| Guarded::of_pages(pages));
    // In parts that are not: the same bits.
    let bce = Bce::new();
    let [mut gradient, mut hessian, mut loss] = std::array::from_fn(|_| vec![T::of(7.0); z.len()]);
    let part = 1 << 16;
    let outputs = gradient.chunks_mut(part).zip(hessian.chunks_mut(part));
    for (((z, t), (g, h)), loss) in z
        .chunks(part)
        .zip(t.chunks(part))
        .zip(outputs)
        .zip(loss.chunks_mut(part))
    {
        bce.gradient_hessian(z, t, g, h).unwrap();
        bce.loss(z, t, loss).unwrap();
    }
    // The others have no such stores, and would take minutes.
    let streaming = |backend: &Backend| ![Backend::Scalar, Backend::Wide].contains(backend);
    for backend in Backend::available().filter(streaming) {
        let bce = bce.backend(backend).unwrap();
        for length in lengths {
            for at_end in [false, true] {
                let [for_z, for_t, for_a, for_b] = &mut places;
                let z = &*for_z.filled(&z[..length], at_end);
                let t = &*for_t.filled(&t[..length], at_end);
                let (a, b) = (for_a.slice(length, at_end), for_b.slice(length, at_end));
                let name = backend.name();
                bce.gradient_hessian(z, t, a, b).unwrap();
                assert!(
                    *a == gradient[..length] && *b == hessian[..length],
                    "{name}"
                );
                a.fill(T::of(7.0));
                bce.sum_gradient(z, t, a).unwrap();
                assert!(*a == gradient[..length], "{name}");
                bce.loss(z, t, a).unwrap();
                assert!(*a == loss[..length], "{name}");
                if at_end {
                    let t = for_t.slice(length, at_end);
                    t[length - 1] = T::of(2.0);
                    bce.gradient_hessian(z, t, a, b).unwrap_err();
                    assert!(
                        a.iter().chain(&*b).all(|x| x.partial_cmp(x).is_none()),
                        "{name}"
                    );
                }
            }
        }
    }
}

#[test]
fn streamed_outputs_stay_in_their_slices() {
    check_streamed::<f32>();
    check_streamed::<f64>();
}

/// The errors' paths: the first bad target is looked for, and outputs are filled.
#[test]
fn a_refused_call_stays_in_its_slices() {
    let mut places: [Guarded; 3] = std::array::from_fn(|_| Guarded::new());
    let (z, mut t) = (logits::<f32>(), units::<f32>(7919));
    let mut refused = 0;
    for length in 1..=LONGEST {
        t[length - 1] = f32::NAN;
        for backend in Backend::available() {
            for at_end in [false, true] {
                let [for_z, for_t, for_out] = &mut places;
                let z = for_z.filled(&z[..length], at_end);
                let t = for_t.filled(&t[..length], at_end);
                let out = for_out.slice(length, at_end);
                let bce = Bce::new().backend(backend).unwrap();
                bce.sum_gradient(z, t, out).unwrap_err();
                assert!(out.iter().all(|x| x.is_nan()));
                bce.gradient_in_place(z, t).unwrap_err();
                refused += 1;
            }
        }
        t[length - 1] = 0.5;
    }
    assert!(refused >= 2 * 2 * LONGEST);
}

/// The linear head: features, vectors and scratch flush against the traps, row-major and in columns.
fn check_linear<T: Element>() {
    use soft_bce::linear::{
        ColumnScale, ColumnSum, Factor, Features, Head, gradient_scratch, gram_length,
        gram_scratch, scan,
    };
    const ROWS: usize = 40;
    let (z, t) = (logits::<T>(), units::<T>(7919));
    let mut places: [Guarded; 7] = std::array::from_fn(|_| Guarded::of_pages(20));
    let mut of_columns: Vec<Guarded> = (0..ROWS).map(|_| Guarded::new()).collect();
    let mut calls = 0;
    for (rows, columns) in (0..=ROWS).flat_map(|n| [(n, ROWS - n), (ROWS - n / 3, n)]) {
        let small = |i: usize| T::of((i * 7919 % 1000) as f64 / 500.0 - 1.0);
        let data: Vec<T> = (0..rows * columns).map(small).collect();
        let width = columns + 1;
        let mut expected = None;
        for backend in Backend::available() {
            for (at_end, columnar) in [(false, false), (true, false), (false, true), (true, true)] {
                let [
                    for_x,
                    for_t,
                    for_b,
                    for_offset,
                    for_out,
                    for_scratch,
                    for_gram,
                ] = &mut places;
                let b = &*for_b.filled(&z[2..2 + columns], at_end);
                let offset = &*for_offset.filled(&t[..rows], at_end);
                let t = &*for_t.filled(&t[..rows], at_end);
                let column = |j: usize| (0..rows).map(|i| data[i * columns + j]).collect();
                let slices: Vec<&[T]> = of_columns
                    .iter_mut()
                    .take(columns)
                    .enumerate()
                    .map(|(j, place)| -> &[T] {
                        let column: Vec<T> = column(j);
                        place.filled(&column, at_end)
                    })
                    .collect();
                let x = if columnar {
                    Features::columns(&slices, rows)
                } else {
                    Features::rows(for_x.filled(&data, at_end), rows, columns)
                }
                .unwrap();
                let head = Head::new(b).intercept(T::of(0.5)).offset(offset);
                let head = head.bce(Bce::new().backend(backend).unwrap());
                let mut scales = vec![ColumnScale::ZERO; columns];
                scan(&x, &mut scales).unwrap();
                let mut sums = vec![ColumnSum::default(); width];
                let mut gram = vec![ColumnSum::default(); gram_length(width)];
                head.start_gradient(&scales, ColumnScale::ONE, &mut sums)
                    .unwrap();
                head.start_gram(&scales, ColumnScale::ONE, &mut gram)
                    .unwrap();
                let mut loss = LossSum::new();
                let scratch = for_scratch.slice(gradient_scratch(width), at_end);
                head.sum_gradient(&x, t, &mut loss, &mut sums, scratch)
                    .unwrap();
                let scratch = for_gram.slice(gram_scratch(width), at_end);
                head.gram(&x, t, Factor::Hessian, &mut gram, scratch)
                    .unwrap();
                let out = for_out.slice(rows, at_end);
                head.predict(&x, out).unwrap();
                let found = (loss, sums, gram, out.to_vec());
                assert!(*expected.get_or_insert(found.clone()) == found);
                calls += 1;
            }
        }
    }
    assert!(calls >= 2 * 4 * 2 * ROWS);
}

#[test]
fn the_linear_head_stays_in_its_slices() {
    check_linear::<f32>();
    check_linear::<f64>();
}
