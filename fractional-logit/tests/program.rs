//! The program as its user meets it: what it prints, and what it says of
//! data that it cannot use.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn run(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fractional-logit"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("the program starts")
}

/// An empty directory of the test's own.
fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("a directory for the test");
    directory
}

fn stdout(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The numbers on the line that starts with `name`.
fn numbers(text: &str, name: &str) -> Vec<f64> {
    let line = text
        .lines()
        .find(|line| line.split_whitespace().next() == Some(name))
        .unwrap_or_else(|| panic!("no line for {name} in\n{text}"));
    line.split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}

fn agree(ours: f64, theirs: f64) {
    assert!(
        ((ours - theirs) / theirs).abs() <= 5e-7,
        "{ours} instead of {theirs}"
    );
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[test]
fn agrees_with_the_published_values() {
    let reference = std::fs::read_to_string(source("data/401k-reference.json")).unwrap();
    let reference: Value = serde_json::from_str(&reference).unwrap();
    let directory = directory("published");
    let text = stdout(&run(&directory, &[]));
    for (name, key) in [
        ("const", "const"),
        ("mrate", "mrate"),
        ("ln(totemp)", "ltotemp"),
        ("ln(totemp)^2", "ltotemp2"),
        ("age", "age"),
        ("age^2", "age2"),
        ("sole", "sole"),
    ] {
        let printed = numbers(&text, name);
        assert_eq!(printed.len(), 6, "{name}");
        for (place, quantity) in ["coef", "se_robust_hc0", "se_nonrobust"].iter().enumerate() {
            let published = reference[quantity][key].as_f64().unwrap();
            agree(printed[2 * place], published);
            agree(printed[2 * place + 1], published);
        }
    }
    assert!(
        text.contains("Mean loss                0.354183 nats"),
        "{text}"
    );
    assert_eq!(
        text.lines()
            .filter(|line| line.contains(" 153 ") || line.contains(" 154 "))
            .count(),
        10
    );

    let drawn = std::fs::read_to_string(directory.join("target/soft_targets.svg")).unwrap();
    let committed = std::fs::read_to_string(source("soft_targets.svg")).unwrap();
    assert!(
        drawn == committed,
        "fractional-logit/soft_targets.svg is out of date"
    );
}

/// Weights say how often a row counts: doubling them halves the variance, and a row of weight 2 is
/// the same as two rows.
#[test]
fn weights_count_rows() {
    let directory = directory("weights");
    let mut weighted = "t,x,w\n".to_owned();
    let mut repeated = "t,x\n".to_owned();
    for row in 0..40_u32 {
        let (target, x) = (f64::from(row * 7 % 11) / 10.0, f64::from(row * row % 17));
        let weight = row % 3;
        weighted += &format!("{target},{x},{weight}\n");
        repeated += &format!("{target},{x}\n").repeat(weight as usize);
    }
    std::fs::write(directory.join("weighted.csv"), weighted).unwrap();
    std::fs::write(directory.join("repeated.csv"), repeated).unwrap();
    let common = ["--target", "t", "--features", "x,x^2"];
    let weighted = stdout(&run(
        &directory,
        &[&["--data", "weighted.csv", "--weight", "w"], &common[..]].concat(),
    ));
    let repeated = stdout(&run(
        &directory,
        &[&["--data", "repeated.csv"], &common[..]].concat(),
    ));
    assert!(
        weighted.contains("26 rows (14 more have weight 0)"),
        "{weighted}"
    );
    for name in ["const", "x", "x^2"] {
        let (ours, theirs) = (numbers(&weighted, name), numbers(&repeated, name));
        assert_eq!(ours.len(), 3);
        agree(ours[0], theirs[0]);
        agree(ours[2], theirs[2]);
    }
    let loss = |text: &str| {
        text.lines()
            .find(|line| line.starts_with("Mean loss"))
            .map(str::to_owned)
    };
    assert_eq!(loss(&weighted), loss(&repeated));
    assert!(
        !directory.join("target").exists(),
        "a picture that nobody asked for"
    );
}

/// A byte order mark, Windows line ends, spaces, quotes, and columns named like terms.
#[test]
fn reads_what_spreadsheets_write() {
    let directory = directory("spreadsheets");
    std::fs::write(
        directory.join("data.csv"),
        "\u{feff}t, ln(x) ,\"a\nb\",x^2\r\n0.2,1,1,0\r\n0.4 ,2,4,1\r\n\"0.9\",3,5,0\r\n1,-4,2,1\r\n0,5,0,1e0\r\n",
    )
    .unwrap();
    let arguments = [
        "--data",
        "data.csv",
        "--target",
        "t",
        "--features",
        "ln(x),x^2",
        "--svg",
        "a/b.svg",
    ];
    let text = stdout(&run(&directory, &arguments));
    assert_eq!(numbers(&text, "ln(x)").len(), 3, "{text}");
    assert!(directory.join("a/b.svg").exists());
}

/// Each file that cannot be used is refused with its name, and the line and column where it fails.
#[test]
fn says_where_data_is_unusable() {
    let directory = directory("unusable");
    // Rows that can be used, to put one that cannot among them.
    const GOOD: &str = "0.5,1,2,1\n0.25,2,1,1\n1,3,5,1\n0,4,3,2\n0.75,5,4,1\n";
    let cases: &[(&str, &str, &str, &[&str])] = &[
        // name, rows after the header `t,a,b,w`, features, what the message must contain
        (
            "missing_feature",
            GOOD,
            "a,c",
            &[":1: column `c`: not in the header", "`t`, `a`, `b`, `w`"],
        ),
        (
            "not_a_number",
            "0.5,1,2,1\n0.5,one,2,1\n",
            "a",
            &[":3: column `a`: `one` is not a number"],
        ),
        (
            "empty_field",
            "0.5,1,2,1\n0.5,,2,1\n",
            "a",
            &[":3: column `a`: empty"],
        ),
        (
            "not_finite",
            "0.5,1,inf,1\n",
            "b",
            &[":2: column `b`: `inf` is not a finite number"],
        ),
        (
            "nan_target",
            "nan,1,1,1\n",
            "b",
            &[":2: column `t`: `nan` is not a finite number"],
        ),
        (
            "target_above",
            "0.5,1,2,1\n0.5,1,2,1\n1.5,1,2,1\n",
            "a",
            &[":4: column `t`: target 1.5 is outside [0, 1]"],
        ),
        (
            "target_below",
            "-1e-9,1,2,1\n",
            "a",
            &[":2: column `t`: target -0.000000001 is outside"],
        ),
        (
            "weight_negative",
            "0.5,1,2,1\n0.5,1,2,-3\n",
            "a",
            &[":3: column `w`: weight -3 is negative"],
        ),
        (
            "weight_not_a_number",
            "0.5,1,2,x\n",
            "a",
            &[":2: column `w`: `x` is not a number"],
        ),
        (
            "after_a_quoted_line_end",
            "0.5,1,\"2\n\",1\n0.5,x,2,1\n",
            "a",
            &[":4: column `a`"],
        ),
        (
            "logarithm",
            "0.5,1,2,1\n0.5,0,2,1\n",
            "ln(a)^2",
            &[":3: column `a`: ln(0) is undefined"],
        ),
        (
            "overflow",
            "0.5,1e200,2,1\n",
            "a^2",
            &[":2: column `a`: `a^2` overflows"],
        ),
        (
            "short_row",
            "0.5,1,2,1\n0.5,1,2\n",
            "a",
            &[":3: 3 fields, but the header has 4"],
        ),
        (
            "too_few_rows",
            "0.5,1,2,1\n",
            "a",
            &["too few rows: 1 with a positive weight", "at least 2"],
        ),
        ("no_rows", "", "a", &["too few rows: 0"]),
        (
            "all_weights_zero",
            "0.5,1,2,0\n0.4,2,2,0\n0.4,3,2,0\n",
            "a",
            &["too few rows: 0"],
        ),
        (
            "same_feature_twice",
            GOOD,
            "a,a",
            &[": column `a`: singular design: in every row `a` = 1.000000 * a"],
        ),
        (
            "collinear",
            "0.5,1,5,1\n0.25,2,7,1\n1,3,9,1\n0,4,11,1\n0.75,5,13,1\n",
            "a,b",
            &[": column `b`: singular design: in every row `b` = 3.000000 * const + 2.000000 * a"],
        ),
        (
            "constant",
            "0.5,1,2,1\n0.2,2,2,1\n1,3,2,1\n0,4,2,1\n",
            "b",
            &["`b` = 2.000000 * const"],
        ),
        (
            "zero",
            "0.5,1,0,1\n0.2,2,0,1\n1,3,0,1\n0,4,0,1\n",
            "b",
            &["column `b`", "`b` = 0"],
        ),
        (
            "separation",
            "0,1,2,1\n0,2,1,1\n0,3,5,1\n1,4,3,1\n1,5,4,1\n1,6,7,1\n",
            "a",
            &[".csv:", ": column `a`: separation"],
        ),
        (
            "separation_of_some",
            "0.5,0,2,1\n0.5,0,1,1\n0.7,0,5,1\n1,1,3,1\n1,1,4,1\n",
            "a",
            &[".csv:5: column `a`: separation: the features predict the targets of 2 rows"],
        ),
        (
            "one_class",
            "1,1,2,1\n1,2,1,1\n1,3,5,1\n1,4,3,1\n",
            "a",
            &[": column `t`: every target is 1: no finite fit"],
        ),
    ];
    for (name, rows, features, expected) in cases {
        let file = format!("{name}.csv");
        std::fs::write(directory.join(&file), format!("t,a,b,w\n{rows}")).unwrap();
        let arguments = [
            "--data",
            &file,
            "--target",
            "t",
            "--features",
            features,
            "--weight",
            "w",
        ];
        refused(
            &directory,
            &arguments,
            &[&[file.as_str()], *expected].concat(),
        );
    }

    let wrong = |name: &str, contents: &[u8], expected: &[&str]| {
        std::fs::write(directory.join(name), contents).unwrap();
        let arguments = ["--data", name, "--target", "t", "--features", "a"];
        refused(&directory, &arguments, &[&[name], expected].concat());
    };
    wrong(
        "twice.csv",
        b"t,a,a\n0.5,1,2\n",
        &[":1: column `a`: stands in the header more than once"],
    );
    wrong(
        "encoding.csv",
        b"t,a\n0.5,1\n0.5,\xff\n",
        &[":3: field 2 is not valid UTF-8"],
    );
    wrong("empty.csv", b"", &["column `t`: not in the header"]);

    let arguments = ["--data", "none.csv", "--target", "t", "--features", "a"];
    refused(&directory, &arguments, &["none.csv: "]);
    refused(
        &directory,
        &["--data", "none.csv"],
        &["--target", "--features"],
    );
    refused(
        &directory,
        &["--svg", "collinear.csv/a.svg"],
        &["collinear.csv/a.svg: "],
    );
}

fn refused(directory: &Path, arguments: &[&str], expected: &[&str]) {
    let output = run(directory, arguments);
    let message = String::from_utf8_lossy(&output.stderr);
    // 101 would be a panic, no code a signal.
    assert!(
        matches!(output.status.code(), Some(1 | 2)),
        "{arguments:?}: {message}"
    );
    for fragment in expected {
        assert!(
            message.contains(fragment),
            "{arguments:?}: no `{fragment}` in: {message}"
        );
    }
}
