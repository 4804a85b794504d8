//! The linear head's speed, on one thread and two: `cargo run --release -p soft-bce-report --features rayon --bin linear`.
//!
//! Times are divided by that of one prefetched read of the same matrix, measured in the same round; the
//! median over the rounds counts. One thread and `f32` unless a row says otherwise. Peers:
//!
//! * "plain f64": the same walk, written with AVX-512 intrinsics, whose column sums are plain `f64`
//!   accumulators: no grid, no check of the features. It too asks for the next block during the sums.
//! * OpenBLAS: `sgemv` for the logits and `sgemv` for the gradient, over blocks of 4,096 rows or the whole
//!   matrix, and `dsyrk` for the Gram matrix. Its library's path in OPENBLAS_SO (the wheel
//!   scipy-openblas64 has one); without it these rows are left out, and said to be.

use std::hint::black_box;
use std::time::Instant;

use clap::Parser;
use libloading::Library;
use soft_bce::linear::{
    ColumnScale, ColumnSum, Factor, Features, Head, gradient_scratch, gram_length, gram_scratch,
    scan,
};
use soft_bce::{Backend, Bce, LossSum};

#[derive(Parser)]
struct Options {
    /// The matrix's size.
    #[arg(long, default_value_t = 256)]
    mib: usize,
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Numbers of columns.
    #[arg(long, value_delimiter = ',', default_value = "16,64,512,1000")]
    columns: Vec<usize>,
    /// Columns of Gram matrices.
    #[arg(long, value_delimiter = ',', default_value = "16,64,256")]
    gram: Vec<usize>,
    /// Only cases whose names contain this.
    #[arg(long, default_value = "")]
    only: String,
    /// Asks for pages of 2 MiB, as NumPy does, for the row-major matrix.
    #[arg(long)]
    huge_pages: bool,
}

type Case<'a> = (String, Box<dyn FnMut() + 'a>);

/// Runs the cases in turn; prints each one's time an element, and divided by the first one's.
fn measure(title: &str, elements: usize, rounds: usize, only: &str, cases: Vec<Case<'_>>) {
    let named = |(index, case): &(usize, Case<'_>)| *index == 0 || case.0.contains(only);
    let mut cases: Vec<Case<'_>> = cases
        .into_iter()
        .enumerate()
        .filter(named)
        .map(|c| c.1)
        .collect();
    let mut times = vec![Vec::new(); cases.len()];
    for round in 0..=rounds {
        for (case, times) in cases.iter_mut().zip(&mut times) {
            let start = Instant::now();
            (case.1)();
            if round > 0 {
                times.push(start.elapsed().as_secs_f64() * 1e9 / elements as f64);
            }
        }
    }
    println!("\n{title}\n\n| | ns | ratio |\n|---|---|---|");
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let medians: Vec<f64> = times.iter_mut().map(median).collect();
    for (case, time) in cases.iter().zip(&medians) {
        println!("| {} | {time:.4} | {:.2} |", case.0, time / medians[0]);
    }
}

fn random(seed: &mut u64) -> f32 {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    ((*seed as i64 >> 33) as f32) * 2f32.powi(-30)
}

struct Problem {
    rows: usize,
    columns: usize,
    x: Vec<f32>,
    t: Vec<f32>,
    coefficients: Vec<f32>,
}

impl Problem {
    fn new(bytes: usize, columns: usize, huge_pages: bool) -> Self {
        let rows = bytes / 4 / columns;
        let mut seed = 1;
        let mut x: Vec<f32> = Vec::with_capacity(rows * columns);
        #[cfg(target_os = "linux")]
        if huge_pages {
            const PAGE: usize = 4096;
            let start = x.as_ptr().cast::<u8>();
            let before = start.align_offset(PAGE);
            let length = (rows * columns * 4 - before) / PAGE * PAGE;
            let start = start.wrapping_add(before).cast_mut().cast();
            // SAFETY: whole pages of the allocation, whose contents stay as they are.
            let status = unsafe { libc::madvise(start, length, libc::MADV_HUGEPAGE) };
            assert_eq!(status, 0, "no huge pages");
        }
        x.extend((0..rows * columns).map(|_| random(&mut seed)));
        let t = (0..rows).map(|_| random(&mut seed).abs()).collect();
        let size = (columns as f32).sqrt().recip();
        let coefficients = (0..columns).map(|_| random(&mut seed) * size).collect();
        Self {
            rows,
            columns,
            x,
            t,
            coefficients,
        }
    }

    fn features(&self) -> Features<'_, f32> {
        Features::rows(&self.x, self.rows, self.columns).unwrap()
    }

    fn head(&self, backend: Backend) -> Head<'_, f32> {
        Head::new(&self.coefficients).bce(Bce::new().backend(backend).unwrap())
    }

    fn scales(&self) -> Vec<ColumnScale> {
        let mut scales = vec![ColumnScale::ZERO; self.columns];
        scan(&self.features(), &mut scales).unwrap();
        scales
    }

    fn sums(&self) -> Vec<ColumnSum> {
        let mut sums = vec![ColumnSum::default(); self.columns];
        let head = self.head(Backend::detect());
        head.start_gradient(&self.scales(), ColumnScale::ONE, &mut sums)
            .unwrap();
        sums
    }

    /// One pass of this crate.
    fn ours<'a>(&'a self, layout: &str, backend: Backend, x: Features<'a, f32>) -> Case<'a> {
        let mut sums = self.sums();
        let mut scratch = vec![0.0; gradient_scratch(self.columns)];
        let run = move || {
            let mut loss = LossSum::new();
            let head = self.head(backend);
            head.sum_gradient(&x, &self.t, &mut loss, &mut sums, &mut scratch)
                .unwrap();
            black_box((&loss, &sums));
        };
        (format!("{layout}, {}", backend.name()), Box::new(run))
    }
}

#[cfg(target_arch = "x86_64")]
mod peers {
    use std::arch::x86_64::*;

    use soft_bce::Bce;

    pub fn exist() -> bool {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
    }

    /// Reads everything, asking for each line 2 KiB ahead.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl")]
    pub fn read(x: &[f32]) -> f32 {
        let mut sums = [_mm512_setzero_ps(); 4];
        for x in x.chunks_exact(64) {
            for (x, sum) in x.chunks_exact(16).zip(&mut sums) {
                // SAFETY: sixteen elements are there; a prefetch never faults.
                unsafe {
                    _mm_prefetch::<_MM_HINT_T0>(x.as_ptr().wrapping_add(512).cast());
                    *sum = _mm512_or_ps(*sum, _mm512_loadu_ps(x.as_ptr()));
                }
            }
        }
        let [a, b, c, d] = sums;
        _mm512_reduce_add_ps(_mm512_or_ps(_mm512_or_ps(a, b), _mm512_or_ps(c, d)))
    }

    /// Sixteen rows' dot products, by the same tree as the crate's.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl")]
    fn dots(x: &[f32], coefficients: &[f32], z: &mut [f32]) {
        let columns = coefficients.len();
        let mut rows = [_mm512_setzero_ps(); 16];
        for (row, sum) in x.chunks_exact(columns).zip(&mut rows) {
            let (mut x, mut b) = (row.chunks_exact(16), coefficients.chunks_exact(16));
            for (x, b) in (&mut x).zip(&mut b) {
                // SAFETY: sixteen elements are there.
                unsafe {
                    let (x, b) = (_mm512_loadu_ps(x.as_ptr()), _mm512_loadu_ps(b.as_ptr()));
                    *sum = _mm512_fmadd_ps(x, b, *sum);
                }
            }
            let left = x.remainder().len();
            if left > 0 {
                let mask = (1_u32 << left) as u16 - 1;
                // SAFETY: only the elements that are there are read.
                unsafe {
                    let x = _mm512_maskz_loadu_ps(mask, x.remainder().as_ptr());
                    let b = _mm512_maskz_loadu_ps(mask, b.remainder().as_ptr());
                    *sum = _mm512_fmadd_ps(x, b, *sum);
                }
            }
        }
        let mut eights = [_mm512_setzero_ps(); 8];
        for (i, eight) in eights.iter_mut().enumerate() {
            let (a, b) = (rows[i], rows[i + 8]);
            *eight = _mm512_add_ps(
                _mm512_shuffle_f32x4::<0x44>(a, b),
                _mm512_shuffle_f32x4::<0xee>(a, b),
            );
        }
        let mut fours = [_mm512_setzero_ps(); 4];
        for (i, four) in fours.iter_mut().enumerate() {
            let (a, b) = (eights[i], eights[i + 4]);
            *four = _mm512_add_ps(
                _mm512_shuffle_f32x4::<0x88>(a, b),
                _mm512_shuffle_f32x4::<0xdd>(a, b),
            );
        }
        let mut twos = [_mm512_setzero_ps(); 2];
        for (i, two) in twos.iter_mut().enumerate() {
            let (a, b) = (fours[i], fours[i + 2]);
            *two = _mm512_add_ps(
                _mm512_shuffle_ps::<0x44>(a, b),
                _mm512_shuffle_ps::<0xee>(a, b),
            );
        }
        let [a, b] = twos;
        let sums = _mm512_add_ps(
            _mm512_shuffle_ps::<0x88>(a, b),
            _mm512_shuffle_ps::<0xdd>(a, b),
        );
        let order = _mm512_setr_epi32(0, 2, 1, 3, 8, 10, 9, 11, 4, 6, 5, 7, 12, 14, 13, 15);
        // SAFETY: `z` has sixteen elements.
        assert!(z.len() == 16);
        unsafe { _mm512_storeu_ps(z.as_mut_ptr(), _mm512_permutexvar_ps(order, sums)) };
    }

    /// `N` vectors of eight columns of a block, added up as they come.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl")]
    fn strip<const N: usize>(x: &[f32], columns: usize, at: usize, r: &[f32], sums: &mut [f64]) {
        let block = x.as_ptr().wrapping_add(x.len());
        let mut strip = [_mm512_setzero_pd(); N];
        for (sum, from) in strip.iter_mut().zip(sums[at..].chunks_exact(8)) {
            // SAFETY: eight elements are there, here and below.
            *sum = unsafe { _mm512_loadu_pd(from.as_ptr()) };
        }
        for (index, (row, &r)) in x.chunks_exact(columns).zip(r).enumerate() {
            for line in (0..8 * N).step_by(16) {
                let next = block.wrapping_add(index * columns + at + line);
                _mm_prefetch::<_MM_HINT_T1>(next.cast());
            }
            let r = _mm512_set1_pd(f64::from(r));
            for (sum, x) in strip.iter_mut().zip(row[at..at + 8 * N].chunks_exact(8)) {
                let x = _mm512_cvtps_pd(unsafe { _mm256_loadu_ps(x.as_ptr()) });
                *sum = _mm512_fmadd_pd(x, r, *sum);
            }
        }
        for (sum, to) in strip.iter().zip(sums[at..].chunks_exact_mut(8)) {
            unsafe { _mm512_storeu_pd(to.as_mut_ptr(), *sum) };
        }
    }

    /// Loss, and the gradient to `sums`. Columns are a multiple of eight, rows of the block's height.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl")]
    pub fn plain(x: &[f32], t: &[f32], coefficients: &[f32], sums: &mut [f64]) -> f64 {
        let columns = coefficients.len();
        let height = (16384 / (4 * columns) / 16 * 16).clamp(32, 256);
        let (mut z, mut r) = ([0.0; 256], [0.0; 256]);
        let mut loss = 0.0;
        for (x, t) in x.chunks(height * columns).zip(t.chunks(height)) {
            let (z, r) = (&mut z[..t.len()], &mut r[..t.len()]);
            for (x, z) in x.chunks_exact(16 * columns).zip(z.chunks_exact_mut(16)) {
                dots(x, coefficients, z);
            }
            loss += Bce::new().sum_gradient(z, t, r).unwrap();
            let mut at = 0;
            while at + 64 <= columns {
                strip::<8>(x, columns, at, r, sums);
                at += 64;
            }
            while at + 16 <= columns {
                strip::<2>(x, columns, at, r, sums);
                at += 16;
            }
            while at + 8 <= columns {
                strip::<1>(x, columns, at, r, sums);
                at += 8;
            }
        }
        loss
    }
}

/// Functions of OpenBLAS, with 64-bit integers.
struct Blas {
    sgemv: Sgemv,
    dsyrk: Dsyrk,
}
type Sgemv = unsafe extern "C" fn(
    i32,
    i32,
    i64,
    i64,
    f32,
    *const f32,
    i64,
    *const f32,
    i64,
    f32,
    *mut f32,
    i64,
);
type Dsyrk =
    unsafe extern "C" fn(i32, i32, i32, i64, i64, f64, *const f64, i64, f64, *mut f64, i64);
const ROW_MAJOR: i32 = 101;
const NO_TRANSPOSE: i32 = 111;
const TRANSPOSE: i32 = 112;
const LOWER: i32 = 122;

impl Blas {
    fn load() -> Option<Self> {
        let path = std::env::var_os("OPENBLAS_SO")?;
        // SAFETY: the names have these signatures in OpenBLAS with 64-bit integers; it stays loaded.
        unsafe {
            let library = Box::leak(Box::new(Library::new(path).expect("OPENBLAS_SO")));
            let set_threads = library
                .get::<extern "C" fn(i32)>(b"scipy_openblas_set_num_threads64_")
                .unwrap();
            set_threads(1);
            Some(Self {
                sgemv: *library.get::<Sgemv>(b"scipy_cblas_sgemv64_").unwrap(),
                dsyrk: *library.get::<Dsyrk>(b"scipy_cblas_dsyrk64_").unwrap(),
            })
        }
    }

    /// Logits, residuals and gradient of some rows.
    fn gradient(&self, of: &Problem, rows: std::ops::Range<usize>, gradient: &mut [f32]) -> f64 {
        let (count, columns) = (rows.len(), of.columns);
        let x = &of.x[rows.start * columns..rows.end * columns];
        let (mut z, mut r) = (vec![0.0; count], vec![0.0; count]);
        let d = columns as i64;
        // SAFETY: the matrix and the vectors have these lengths.
        unsafe {
            let (x, b) = (x.as_ptr(), of.coefficients.as_ptr());
            (self.sgemv)(
                ROW_MAJOR,
                NO_TRANSPOSE,
                count as i64,
                d,
                1.0,
                x,
                d,
                b,
                1,
                0.0,
                z.as_mut_ptr(),
                1,
            );
        }
        let loss = Bce::new().sum_gradient(&z, &of.t[rows], &mut r).unwrap();
        // SAFETY: as above.
        unsafe {
            let (x, g) = (x.as_ptr(), gradient.as_mut_ptr());
            (self.sgemv)(
                ROW_MAJOR,
                TRANSPOSE,
                count as i64,
                d,
                1.0,
                x,
                d,
                r.as_ptr(),
                1,
                1.0,
                g,
                1,
            );
        }
        loss
    }
}

fn gradients(options: &Options, blas: Option<&Blas>, columns: usize) {
    let problem = &Problem::new(options.mib << 20, columns, options.huge_pages);
    // Columns that begin a page later than the one before ends, as arrays of their own do, and columns without a
    // gap: of 2^k rows, these share few sets of the caches.
    let transpose = |gap: usize| {
        let mut transposed = vec![0.0; columns * (problem.rows + gap)];
        let by_column = transposed.chunks_exact_mut(problem.rows + gap);
        for (j, column) in by_column.enumerate() {
            let of_column = problem.x.iter().skip(j).step_by(columns);
            for (to, from) in column.iter_mut().zip(of_column) {
                *to = *from;
            }
        }
        transposed
    };
    let transposed = [1024, 0].map(|gap| (problem.rows + gap, transpose(gap)));
    let slices = transposed.each_ref().map(|(distance, data)| {
        let slices = data.chunks_exact(*distance).map(|all| &all[..problem.rows]);
        slices.collect::<Vec<_>>()
    });
    let by_columns = slices
        .each_ref()
        .map(|slices| Features::columns(slices, problem.rows).unwrap());
    let mut cases: Vec<Case<'_>> = Vec::new();
    #[cfg(target_arch = "x86_64")]
    if peers::exist() {
        // SAFETY: the features are there.
        let read = || {
            black_box(unsafe { peers::read(&problem.x) });
        };
        cases.push(("one prefetched read".into(), Box::new(read)));
        cases.push(problem.ours("rows", Backend::detect(), problem.features()));
        if columns.is_multiple_of(8) {
            let mut sums = vec![0.0; columns];
            let Problem {
                x, t, coefficients, ..
            } = problem;
            // SAFETY: as above.
            let plain = move || {
                black_box(unsafe { peers::plain(x, t, coefficients, &mut sums) });
            };
            cases.push(("plain f64, avx512".into(), Box::new(plain)));
        }
    }
    if cases.is_empty() {
        println!("no AVX-512: without the read and the plain walk; ratios are to this crate's");
        cases.push(problem.ours("rows", Backend::detect(), problem.features()));
    }
    if Backend::Avx2.is_available() {
        cases.push(problem.ours("rows", Backend::Avx2, problem.features()));
    }
    for (layout, x) in ["columns", "columns without a gap"].iter().zip(by_columns) {
        cases.push(problem.ours(layout, Backend::detect(), x));
    }
    if let Some(blas) = blas {
        for (name, block) in [("blocks of 4,096", 4096), ("whole", problem.rows)] {
            let mut gradient = vec![0.0; columns];
            let run = move || {
                let mut loss = 0.0;
                for start in (0..problem.rows).step_by(block) {
                    let rows = start..problem.rows.min(start + block);
                    loss += blas.gradient(problem, rows, &mut gradient);
                }
                black_box(loss);
            };
            cases.push((format!("two sgemv, {name}"), Box::new(run)));
        }
    }
    let title = format!(
        "{} rows of {columns} columns, {} MiB",
        problem.rows, options.mib
    );
    measure(
        &title,
        problem.rows * columns,
        options.rounds,
        &options.only,
        cases,
    );

    two_threads(options, problem);
}

fn two_threads(options: &Options, problem: &Problem) {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(2)
        .build()
        .unwrap();
    let half = problem.x.len() / 2;
    let mut sums = problem.sums();
    let mut cases: Vec<Case<'_>> = Vec::new();
    #[cfg(target_arch = "x86_64")]
    if peers::exist() {
        let read = || {
            let (left, right) = problem.x.split_at(half);
            // SAFETY: the features are there.
            let read = |x| black_box(unsafe { peers::read(x) });
            pool.install(|| rayon::join(|| read(left), || read(right)));
        };
        cases.push(("two threads: one read".into(), Box::new(read)));
    }
    let ours = || {
        let mut loss = LossSum::new();
        let (x, head) = (problem.features(), problem.head(Backend::detect()));
        pool.install(|| head.par_sum_gradient(&x, &problem.t, &mut loss, &mut sums))
            .unwrap();
        black_box(&loss);
    };
    cases.push(("two threads: par_sum_gradient".into(), Box::new(ours)));
    let title = format!("two threads, {} columns", problem.columns);
    measure(
        &title,
        problem.x.len(),
        options.rounds,
        "two threads",
        cases,
    );
}

fn grams(options: &Options, blas: Option<&Blas>, columns: usize) {
    let problem = &Problem::new(16 << 20, columns, options.huge_pages);
    let mut cases: Vec<Case<'_>> = Vec::new();
    if let Some(blas) = blas {
        let y: Vec<f64> = problem.x.iter().map(|&x| f64::from(x)).collect();
        let mut gram = vec![0.0; columns * columns];
        let run = move || {
            let (n, d) = (problem.rows as i64, columns as i64);
            let (y, g) = (y.as_ptr(), gram.as_mut_ptr());
            // SAFETY: n rows of d columns, and a square of d.
            unsafe { (blas.dsyrk)(ROW_MAJOR, LOWER, TRANSPOSE, d, n, 1.0, y, d, 0.0, g, d) };
            black_box(&gram);
        };
        cases.push(("dsyrk alone".into(), Box::new(run)));
    }
    for backend in [Backend::detect(), Backend::Avx2] {
        if !backend.is_available() {
            continue;
        }
        let head = problem.head(backend);
        let mut sums = vec![ColumnSum::default(); gram_length(columns)];
        head.start_gram(&problem.scales(), head.hessian_scale().unwrap(), &mut sums)
            .unwrap();
        let mut scratch = vec![0.0; gram_scratch(columns)];
        let run = move || {
            let x = problem.features();
            head.gram(&x, &problem.t, Factor::Hessian, &mut sums, &mut scratch)
                .unwrap();
            black_box(&sums);
        };
        cases.push((format!("gram, {}", backend.name()), Box::new(run)));
    }
    let title = format!("Gram matrix, {} rows of {columns} columns", problem.rows);
    let products = problem.rows * gram_length(columns);
    measure(&title, products, options.rounds, "", cases);
}

fn main() {
    let options = Options::parse();
    let blas = Blas::load();
    if blas.is_none() {
        println!("OPENBLAS_SO is not set: without OpenBLAS");
    }
    for &columns in &options.columns {
        gradients(&options, blas.as_ref(), columns);
    }
    for &columns in &options.gram {
        grams(&options, blas.as_ref(), columns);
    }
}
