//! Instructions per element, counted by callgrind; a guard against slower code that needs no quiet
//! machine. `benches/instructions.sh` installs valgrind where it is missing and runs this.
//!
//! Fails where a count differs from the committed one by more than 5 %.
//! `WRITE_INSTRUCTIONS=1` writes the file anew. Valgrind hides AVX-512, so that is not counted.

mod cases;

use std::error::Error;
use std::hint::black_box;
use std::process::{Command, ExitCode};

use cases::{Buffers, Std, Task};
use soft_bce::{Backend, Bce};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/speed/instructions.txt");
const HEADER: &str = "# type backend operation instructions-per-element; made by WRITE_INSTRUCTIONS=1 benches/instructions.sh\n";
const TOLERANCE: f64 = 0.05;
const BACKENDS: [Backend; 2] = [Backend::Scalar, Backend::Avx2];
/// Their difference leaves out set-up and what the process does around the call. Both are beyond what
/// is done in short.
const LENGTHS: [usize; 2] = [1 << 15, 3 << 15];

/// The work whose instructions are counted, in a process of its own.
fn work<T: Std>(task: &str, backend: &str, n: usize) -> Result<(), Box<dyn Error>> {
    let task = Task::ALL
        .into_iter()
        .find(|t| t.name() == task)
        .ok_or("no such task")?;
    let backend = BACKENDS
        .into_iter()
        .find(|b| b.name() == backend)
        .ok_or("no such backend")?;
    let bce = Bce::<T>::new().backend(backend)?;
    let mut buffers = Buffers::typical(LENGTHS[1]);
    black_box(black_box(&mut buffers).call(task, &bce, 0, n));
    Ok(())
}

fn count(case: &[&str], n: usize) -> Result<f64, Box<dyn Error>> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .arg("work")
        .args(case)
        .arg(n.to_string())
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(log.into());
    }
    let collected = log
        .lines()
        .find_map(|line| line.split_once("Collected : "))
        .ok_or("callgrind printed no count")?;
    Ok(collected.1.trim().parse()?)
}

fn measure() -> Result<String, Box<dyn Error>> {
    let mut table = HEADER.to_owned();
    for element in ["f32", "f64"] {
        for backend in BACKENDS {
            for task in Task::ALL {
                if matches!(task, Task::Map(_)) {
                    continue; // no choice of backend
                }
                let case = [element, backend.name(), task.name()];
                let [few, many] = LENGTHS;
                let difference = count(&case, many)? - count(&case, few)?;
                let line = format!(
                    "{} {:.3}\n",
                    case.join(" "),
                    difference / (many - few) as f64
                );
                print!("{line}");
                table += &line;
            }
        }
    }
    Ok(table)
}

/// The lines that are new, gone, or too far off.
fn differences(committed: &str, measured: &str) -> Vec<String> {
    let parse = |table: &str| -> Vec<(String, f64)> {
        let rows = table.lines().filter(|line| !line.starts_with('#'));
        rows.filter_map(|line| line.rsplit_once(' '))
            .map(|(case, count)| (case.to_owned(), count.parse().unwrap_or(f64::NAN)))
            .collect()
    };
    let (committed, measured) = (parse(committed), parse(measured));
    let mut found = Vec::new();
    for (case, now) in &measured {
        match committed.iter().find(|(other, _)| other == case) {
            // Written so that NaN counts as a difference.
            Some((_, then)) if (now / then - 1.0).abs() <= TOLERANCE => {}
            Some((_, then)) => found.push(format!("{case}: {then} committed, now {now}")),
            None => found.push(format!("{case}: not in the committed file")),
        }
    }
    for (case, _) in &committed {
        if measured.iter().all(|(other, _)| other != case) {
            found.push(format!("{case}: committed, but not measured"));
        }
    }
    found
}

fn guard() -> Result<ExitCode, Box<dyn Error>> {
    let measured = measure()?;
    if std::env::var_os("WRITE_INSTRUCTIONS").is_some() {
        std::fs::write(FILE, measured)?;
        return Ok(ExitCode::SUCCESS);
    }
    let committed = std::fs::read_to_string(FILE)?;
    // The guard can fail: a planted change of 6 % in the first count is seen.
    let planted = measured
        .lines()
        .enumerate()
        .map(|(i, line)| match (i, line.rsplit_once(' ')) {
            (1, Some((case, count))) => {
                let count: f64 = count.parse().unwrap_or(f64::NAN);
                format!("{case} {}\n", count * 1.06)
            }
            _ => format!("{line}\n"),
        })
        .collect::<String>();
    if differences(&measured, &planted).len() != 1 {
        return Err("the guard misses a planted change of 6 %".into());
    }
    let found = differences(&committed, &measured);
    for line in &found {
        println!("CHANGED {line}");
    }
    println!(
        "{} cases, {} differ by more than {} %",
        measured.lines().count() - 1,
        found.len(),
        TOLERANCE * 100.0
    );
    Ok(if found.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["work", "f32", backend, operation, n] => work::<f32>(operation, backend, n.parse()?)?,
        ["work", "f64", backend, operation, n] => work::<f64>(operation, backend, n.parse()?)?,
        ["--bench", ..] => return guard(),
        // Under `cargo test --benches`: nothing to measure.
        _ => println!("run by cargo bench --bench instructions"),
    }
    Ok(ExitCode::SUCCESS)
}
