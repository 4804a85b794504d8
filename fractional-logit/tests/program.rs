//! The program as its user meets it: what it prints, and what it says of
//! data that it cannot use.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

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
    let text = stdout(&run(&directory, &["--svg", "target/soft_targets.svg"]));
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

    let plain = stdout(&run(&directory, &[]));
    assert!(text.starts_with(plain.as_str()), "{plain}");
    assert!(plain.starts_with("401k.csv: 1534 rows"), "{plain}");
    let made = std::fs::read_dir(&directory).unwrap().count();
    assert_eq!(made, 1, "the picture that was asked for");

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
        &[
            &[
                "--data",
                "weighted.csv",
                "--weight",
                "w",
                "--weight-kind",
                "frequency",
            ],
            &common[..],
        ]
        .concat(),
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
        assert_eq!(ours, theirs);
        assert_eq!(ours.len(), 7);
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
    assert_eq!(numbers(&text, "ln(x)").len(), 7, "{text}");
    assert!(directory.join("a/b.svg").exists());

    // Lines are those that an editor shows, whatever ends them and is skipped: of the bad value, and of the header.
    let rows = "t,x\n0.2,1\n\n\"0.4\",2\n0.9,\"\n3\"\n1,-4\n\n\n0,5\n0.3,oops\n";
    let commented = "# of 2024\n\nt,x\n# 1\n0.2,1\n0.3,oops\n# 2\n";
    let long = format!("t,x\n{}0.3,oops\n", "0.25,1.5\n".repeat(20_000));
    for (contents, header, line) in [(rows, 1, 11), (commented, 3, 6), (&long, 1, 20_002)] {
        for end in ["\n", "\r\n", "\r"] {
            if end == "\r" && contents.contains('#') {
                continue; // csv ends a comment by \n alone
            }
            let contents = contents.replace('\n', end);
            std::fs::write(
                directory.join("lines.csv"),
                "\u{feff}".to_owned() + &contents,
            )
            .unwrap();
            let fit = "--data lines.csv --target t --comment # --features";
            let fit: Vec<&str> = fit.split(' ').collect();
            let expected = format!("lines.csv:{line}: column `x`: `oops`");
            refused(&directory, &[&fit[..], &["x"]].concat(), &[&expected]);
            let expected = format!("lines.csv:{header}: column `y`: not in the header");
            refused(&directory, &[&fit[..], &["y"]].concat(), &[&expected]);
            let contents = contents.replace("oops", "3,4");
            std::fs::write(directory.join("lines.csv"), contents).unwrap();
            let expected = format!("lines.csv:{line}: 3 fields, but the header has 2");
            refused(&directory, &[&fit[..], &["x"]].concat(), &[&expected]);
        }
    }
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
            &[":2: column `t`: target -1e-9 is outside"],
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
        &[":3: column `a`: field 2 is not valid UTF-8: save the file as UTF-8"],
    );
    wrong("empty.csv", b"", &["empty.csv: the file is empty"]);
    let utf16: Vec<u8> = "t,a\n0.5,1\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    wrong("utf16.csv", &utf16, &["utf16.csv:1: ", "UTF-16"]);
    let marked = [b"\xff\xfe", utf16.as_slice()].concat();
    wrong("marked.csv", &marked, &["marked.csv:1: ", "UTF-16"]);

    let arguments = ["--data", "none.csv", "--target", "t", "--features", "a"];
    refused(&directory, &arguments, &["none.csv: "]);
    refused(&directory, &["--data", "none.csv"], &["--target"]);
    refused(
        &directory,
        &["--svg", "collinear.csv/a.svg"],
        &["collinear.csv/a.svg: "],
    );
}

fn case(name: &str) -> String {
    source("tests/cases").join(name).display().to_string()
}

fn json(directory: &Path, arguments: &[&str]) -> Value {
    let text = stdout(&run(directory, &[arguments, &["--json"]].concat()));
    serde_json::from_str(&text).expect("JSON")
}

fn coefficients(fit: &Value) -> Vec<f64> {
    let rows = fit["coefficients"].as_array().expect("coefficients");
    rows.iter()
        .map(|row| row["coefficient"].as_f64().expect("a number"))
        .collect()
}

/// The example's model, saved, predicts; and says what no table says.
#[test]
fn saves_and_predicts() {
    let directory = directory("predict");
    let data = source("data/401k.csv").display().to_string();
    let features = "mrate,ln(totemp),ln(totemp)^2,age,age^2,sole";
    let fit = [
        "--data",
        &data,
        "--target",
        "prate",
        "--features",
        features,
        "--save",
        "model.json",
        "--calibration",
        "calibration.svg",
    ];
    let fit = json(&directory, &fit);
    let effects = fit["marginal_effects"].as_array().unwrap();
    agree(effects[0]["effect"].as_f64().unwrap(), 0.093_339_600);
    agree(effects[5]["effect"].as_f64().unwrap(), 0.011_919_647_1);
    agree(fit["coefficients"][6]["p"].as_f64().unwrap(), 0.175_022_29);

    std::fs::write(
        directory.join("new.csv"),
        "sole,age,totemp,mrate\n0,10,1000,0.5\n1,10,1000,NA\n",
    )
    .unwrap();
    let predict = [
        "predict",
        "--model",
        "model.json",
        "--data",
        "new.csv",
        "--na",
        "NA",
        "--out",
        "out.csv",
    ];
    let output = run(&directory, &predict);
    assert!(stdout(&output).is_empty());
    let rows = std::fs::read_to_string(directory.join("out.csv")).unwrap();
    let rows: Vec<&str> = rows.lines().collect();
    assert_eq!(rows.len(), 2, "{rows:?}");
    let numbers: Vec<f64> = rows[1].split(',').map(|of| of.parse().unwrap()).collect();
    assert_eq!(numbers[0], 2.0);
    agree(numbers[1], 0.840_176_9);
    assert!(numbers[2] < numbers[1] && numbers[1] < numbers[3]);

    // With targets: how well they are met, which is what the fit said of its own rows.
    let predict = [
        "predict",
        "--model",
        "model.json",
        "--data",
        &data,
        "--target",
        "prate",
        "--out",
        "out.csv",
    ];
    let said = String::from_utf8(run(&directory, &predict).stderr).unwrap();
    assert!(
        said.contains("Mean loss                0.354183 nats"),
        "{said}"
    );

    refused(
        &directory,
        &["predict", "--model", "out.csv", "--data", "new.csv"],
        &["out.csv: not a model that --save wrote"],
    );
    refused(&directory, &predict[..3], &["--data"]);
    let names = std::fs::read_dir(&directory).unwrap().count();
    assert_eq!(names, 4, "nothing is created where nobody asked");
}

/// Counts as targets, of trials or beside failures.
#[test]
fn takes_counts() {
    let directory = directory("counts");
    let beetles = case("beetles.csv");
    let fit = [
        "--data",
        &beetles,
        "--target",
        "killed",
        "--trials",
        "n",
        "--features",
        "dose",
    ];
    let by_hand = [
        "--data",
        &beetles,
        "--target",
        "rate",
        "--weight",
        "n",
        "--features",
        "dose",
    ];
    let (fit, by_hand) = (
        coefficients(&json(&directory, &fit)),
        coefficients(&json(&directory, &by_hand)),
    );
    agree(fit[0], -60.717_454_561_6);
    agree(fit[1], by_hand[1]);
    let successes = case("successes.csv");
    let fit = [
        "--data",
        &successes,
        "--target",
        "suc",
        "--failures",
        "fail",
        "--features",
        "x",
    ];
    agree(
        coefficients(&json(&directory, &fit))[1],
        0.072_171_369_470_7,
    );
    let fit = ["--data", &successes, "--target", "suc", "--features", "x"];
    refused(
        &directory,
        &fit,
        &["column `suc`: target 10 is outside [0, 1]", "--failures"],
    );
}

/// Rows of weight 0 may hold anything; other rows nothing but numbers and the words for missing ones.
#[test]
fn leaves_rows_out_where_it_may() {
    let directory = directory("left_out");
    for (name, target, feature, weight) in [
        ("weight_zero.csv", "rate", "match", "count"),
        ("no_trials.csv", "y", "x", "n"),
    ] {
        let fit = [
            "--data",
            &case(name),
            "--target",
            target,
            "--features",
            feature,
            "--weight",
            weight,
        ];
        let fit = json(&directory, &fit);
        assert!(fit["rows_of_weight_0"].as_u64() >= Some(1), "{fit}");
    }
    std::fs::write(
        directory.join("na.csv"),
        b"y,x,z\n0.2,1,\xff\n0.4,.,\n0.3,3,\n0.6,4,\n",
    )
    .unwrap();
    let fit = [
        "--data",
        "na.csv",
        "--target",
        "y",
        "--features",
        "x",
        "--na",
        ".,NA",
    ];
    assert_eq!(json(&directory, &fit)["rows_with_missing_values"], 1);
    refused(
        &directory,
        &fit[..6],
        &["na.csv:3: column `x`: `.` is not a number", "--na '.'"],
    );

    // A row of no cluster is not one of a cluster by that name.
    let clusters = "y,x,g,w\n.2,1,a,1\n.4,2,NA,0\n.3,3,b,1\n.6,4,NA,0\n.5,2,c,1\n.9,4,d,0\n";
    std::fs::write(directory.join("clusters.csv"), clusters).unwrap();
    let fit = "--data clusters.csv --target y --features x";
    let fit: Vec<&str> = fit.split(' ').collect();
    let clustered = [&fit[..], &["--cluster", "g", "--na", "NA"]].concat();
    let clustered = json(&directory, &clustered);
    let counts = ["rows", "clusters", "rows_with_missing_values"].map(|name| &clustered[name]);
    assert_eq!(counts, [4, 4, 2]);

    // A level is none if no row of it is used: the rest is fitted.
    let levels = "y,x,g,w,n\n.2,1,a,1,9\n.5,NA,c,1,9\n.4,2,a,1,9\n.3,3,b,1,9\n.9,4,b,1,9\n.1,6,d,1,0\n.1,6,e,0,9\n";
    std::fs::write(directory.join("levels.csv"), levels).unwrap();
    let categories = "--data levels.csv --target y --trials n --weight w --na NA --features x,C(g)";
    let found = json(&directory, &categories.split(' ').collect::<Vec<_>>());
    assert_eq!(found["rows"], 4);
    assert_eq!(found["coefficients"][2]["name"], "g=b");
    assert!(found["coefficients"][3].is_null(), "{found}");

    // Predictions say what they lack.
    stdout(&run(&directory, &[&fit[..], &["--save", "m"]].concat()));
    let predict = "predict --model m --data clusters.csv --weight w";
    let output = run(&directory, &predict.split(' ').collect::<Vec<_>>());
    assert_eq!(stdout(&output).lines().count(), 1 + 3);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "3 rows of weight 0 are left out\n");
}

/// Whatever a spreadsheet of another country writes.
#[test]
fn reads_other_forms() {
    let directory = directory("forms");
    let mut bytes =
        b"# a remark\n\"share, in %\";size;note\n20%;1,5;\xff\n40 %;2,5;\n30;3,5;\n90;4,25;\n"
            .to_vec();
    std::fs::write(directory.join("a.csv"), &bytes).unwrap();
    let options = [
        "--target",
        "share, in %",
        "--features",
        "size",
        "--separator",
        ";",
        "--decimal-comma",
        "--comment",
        "#",
        "--percent",
        "share, in %",
    ];
    let fit = coefficients(&json(
        &directory,
        &[&["--data", "a.csv"], &options[..]].concat(),
    ));
    std::fs::write(
        directory.join("b.csv"),
        "y,x\n.2,1.5\n.4,2.5\n.3,3.5\n.9,4.25\n",
    )
    .unwrap();
    let plain = ["--data", "b.csv", "--target", "y", "--features", "x"];
    let plain = coefficients(&json(&directory, &plain));
    agree(fit[1], plain[1]);

    // From standard input, and from a pipe that has a name, which is read once too.
    bytes.extend(b"10;1,0;\n");
    let piped = |bytes: &[u8], arguments: &[&str]| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fractional-logit"))
            .args(arguments)
            .current_dir(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        child.wait_with_output().unwrap()
    };
    for name in ["-", "/dev/stdin"] {
        let fit = ["--data", name, "--json", "--save", "model.json"];
        let output = piped(&bytes, &[&fit[..], &options[..]].concat());
        let fit: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(fit["rows"], 5);
        let predict = ["predict", "--model", "model.json", "--data", name];
        let output = piped(&bytes, &[&predict[..], &options[4..]].concat());
        assert_eq!(stdout(&output).lines().count(), 1 + 5);
        let output = piped(b"size\noops\n", &predict);
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains("; --na 'oops' leaves"), "{message}");
    }

    let wrong = ["--data", "a.csv", "--target", "size", "--comment", "#"];
    refused(&directory, &wrong, &["it has `;`: --separator ';'"]);
    // Comments first, commas within names, a header of several fields by a separator that is not its own.
    std::fs::write(
        directory.join("c.csv"),
        "# of 2024\n\"income, k\",t\n1,.5\n2,.25\n3,.5\n",
    )
    .unwrap();
    let wrong = ["--data", "c.csv", "--target", "t"];
    refused(&directory, &wrong, &["c.csv:1: ", "; --comment '#' leaves"]);
    let wrong = [&wrong[..], &["--features", "income, k", "--comment", "#"]].concat();
    refused(
        &directory,
        &wrong,
        &[
            "c.csv:2: column `income`: not in the header",
            "in backquotes: `income, k`",
        ],
    );
    std::fs::write(directory.join("d.csv"), "t;\"a, b\";c\n.5;1;2\n").unwrap();
    let wrong = ["--data", "d.csv", "--target", "t"];
    refused(&directory, &wrong, &["it has `;`: --separator ';'"]);
    let wrong = ["--data", "b.csv", "--target", "y", "--features", "exp(x)"];
    refused(
        &directory,
        &wrong,
        &["a feature is NAME, ln(NAME), sqrt(NAME)"],
    );
    let wrong = ["--data", "b.csv", "--target", "y", "--features", "ln(x"];
    refused(&directory, &wrong, &["not closed"]);
    let wrong = [
        "--data",
        "a.csv",
        "--target",
        "share, in %",
        "--separator",
        ";",
        "--comment",
        "#",
    ];
    refused(
        &directory,
        &wrong,
        &[
            "a.csv:3: column `share, in %`: `20%` is not a number",
            "--percent",
        ],
    );
}

/// Categories and interactions are the columns that one would make by hand.
#[test]
fn categories_and_interactions() {
    let directory = directory("categories");
    let mut text = "y,x,region,north,west,\"a,b\"\n".to_owned();
    for row in 0..60_u32 {
        let region = ["south", "north", "west"][(row * row % 7 % 3) as usize];
        let (north, west) = (u8::from(region == "north"), u8::from(region == "west"));
        let y = f64::from(row * 37 % 11) / 10.0;
        text += &format!("{y},{},{region},{north},{west},{}\n", row % 13, 1 + row % 5);
    }
    std::fs::write(directory.join("a.csv"), text).unwrap();
    let fit = |features: &str| {
        let arguments = ["--data", "a.csv", "--target", "y", "--features", features];
        coefficients(&json(&directory, &arguments))
    };
    for (categories, by_hand) in [
        ("x,C(region, south)", "x,north,west"),
        ("x*C(region, south)", "x,north,west,x:north,x:west"),
        ("x * `a,b`", "x,`a,b`,x:\"a,b\""),
        ("sqrt(`a,b`)", "sqrt(`a,b`)"),
    ] {
        let (ours, by_hand) = (fit(categories), fit(by_hand));
        assert_eq!(ours.len(), by_hand.len());
        for (ours, by_hand) in ours.into_iter().zip(by_hand) {
            agree(ours, by_hand);
        }
    }
    let wrong = ["--data", "a.csv", "--target", "y", "--features", "region"];
    refused(
        &directory,
        &wrong,
        &["`south` is not a number", "C(region)"],
    );
    let wrong = [
        "--data",
        "a.csv",
        "--target",
        "y",
        "--features",
        "C(region, east)",
    ];
    refused(
        &directory,
        &wrong,
        &["no level `east`, but `north`, `south`, `west`"],
    );
}

/// Parts, threads, passes over a file instead of memory: one hash.
#[test]
fn one_hash() {
    let directory = directory("hash");
    let data = case("cluster.csv");
    let mut hashes = Vec::new();
    for options in [
        &["--partitions", "1"][..],
        &["--partitions", "8", "--threads", "2"],
        &["--partitions", "3", "--memory", "0"],
    ] {
        let fit = [
            "--data",
            &data,
            "--target",
            "y",
            "--features",
            "x",
            "--cluster",
            "firm",
            "--offset",
            "off",
        ];
        let text = stdout(&run(&directory, &[&fit[..], options].concat()));
        let line = text
            .lines()
            .find(|line| line.starts_with("Hash"))
            .expect("a hash");
        hashes.push(line.to_owned());
    }
    assert_eq!(hashes[0], hashes[1]);
    assert_eq!(hashes[0], hashes[2]);
}

/// Separation is refused with a remedy, which works.
#[test]
fn separation_has_a_remedy() {
    let directory = directory("separation");
    let data = case("complete_separation.csv");
    let fit = ["--data", &data, "--target", "Y", "--features", "X1,X2"];
    refused(
        &directory,
        &fit,
        &[".csv:2: column `X1`: separation", "--ridge", "--firth"],
    );
    let ridge = coefficients(&json(
        &directory,
        &[&fit[..], &["--ridge", "0.125"]].concat(),
    ));
    agree(ridge[1], 1.006_972_350_435_685_6);
    let firth = coefficients(&json(&directory, &[&fit[..], &["--firth"]].concat()));
    agree(firth[0], -2.974_889_709_102_052);
    let lasso = coefficients(&json(&directory, &[&fit[..], &["--lasso", "0.3"]].concat()));
    assert_eq!(lasso[2], 0.0);
}

/// The penalty that predicts best, of a path.
#[test]
fn finds_a_penalty() {
    let directory = directory("path");
    let data = case("anes96.csv");
    let fit = [
        "--data",
        &data,
        "--target",
        "vote",
        "--features",
        "TVnews,selfLR,PID,age,educ,income",
        "--lasso",
        "auto",
        "--folds",
        "3",
    ];
    let text = stdout(&run(&directory, &fit));
    assert!(text.contains("least: this one"), "{text}");
    assert_eq!(numbers(&text, "PID").len(), 7);
    refused(
        &directory,
        &[&fit[..7], &["x"]].concat(),
        &["--lasso is `x`"],
    );
}

/// Who reads no further than the first lines has seen enough.
#[test]
fn a_broken_pipe_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fractional-logit"))
        .args([
            "--data",
            &case("beetles.csv"),
            "--target",
            "rate",
            "--features",
            "dose",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    // Nor is it a panic where nobody hears of an error.
    let mut child = Command::new(env!("CARGO_BIN_EXE_fractional-logit"))
        .args(["--data", "-", "--target", "t"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
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

/// The README's commands print what it says: `WRITE_README=1` writes it.
#[test]
fn the_readme_is_what_is_printed() {
    let directory = directory("readme");
    let readme = std::fs::read_to_string(source("README.md")).unwrap();
    let (mut written, mut rest) = (String::new(), readme.as_str());
    while let Some((before, block)) = rest.split_once("```console\n$ fractional-logit ") {
        let (block, after) = block.split_once("```\n").unwrap();
        let command = block.lines().next().unwrap();
        let arguments: Vec<String> = command
            .split(' ')
            .map(|word| word.trim_matches('\''))
            .map(|word| match word.strip_prefix("tests/cases/") {
                Some(name) => case(name),
                None => word.to_owned(),
            })
            .collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let printed = stdout(&run(&directory, &arguments));
        let printed = printed.replace(&case(""), "tests/cases/");
        written += &format!("{before}```console\n$ fractional-logit {command}\n{printed}```\n");
        rest = after;
    }
    written += rest;
    assert!(directory.join("predictions.csv").exists());
    if std::env::var_os("WRITE_README").is_some() {
        std::fs::write(source("README.md"), &written).unwrap();
    }
    assert!(
        written == readme || std::env::var_os("WRITE_README").is_some(),
        "{written}"
    );
}

/// Errors that no residual tells are not printed as certain: no p of 0 from a residual that is rounding.
#[test]
fn no_error_from_rounding() {
    let directory = directory("rounding");
    let file = |name: &str, contents: &str| {
        std::fs::write(directory.join(name), contents).unwrap();
        name.to_owned()
    };
    let fit = |name: &str, features: &str, more: &[&str]| {
        let arguments = ["--data", name, "--target", "t", "--features", features];
        json(&directory, &[&arguments[..], more].concat())
    };
    let errors = |fit: &Value, key: &str| -> Vec<Option<f64>> {
        let rows = fit["coefficients"].as_array().unwrap();
        rows.iter().map(|row| row[key].as_f64()).collect()
    };
    let saturated = file("saturated.csv", "t,x\n0.2,1\n0.7,3\n");
    for of in ["hc0", "nonrobust"] {
        let fit = fit(&saturated, "x", &["--errors", of]);
        let known = errors(&fit, "p").iter().all(Option::is_some);
        assert_eq!(known, of == "nonrobust", "{fit}");
    }
    let table = ["--data", &saturated, "--target", "t", "--features", "x"];
    let text = stdout(&run(&directory, &table));
    assert!(text.contains("\n-: no error"), "{text}");
    assert!(!text.contains("NaN"), "{text}");
    // The category `a`, with which the others are compared, has one row: the constant is known as exactly as it.
    let one = file(
        "one.csv",
        "t,u,g\n0.2,1,a\n0.7,3,b\n0.6,2,b\n0.3,1,c\n0.9,5,c\n",
    );
    let one = fit(&one, "C(g)", &[]);
    let known: Vec<bool> = errors(&one, "p").iter().map(Option::is_some).collect();
    assert_eq!(known, [false, true, true], "{one}");
    let equal = file("equal.csv", "t,x\n0.5,1\n0.5,2\n0.5,3\n0.5,5\n");
    let equal = fit(&equal, "x", &[]);
    assert_eq!(errors(&equal, "standard_error"), [None, None], "{equal}");
    // A residual of 1e-9 is one.
    let small = file("small.csv", "t,x\n0.500000001,1\n0.5,2\n0.5,3\n0.5,5\n");
    let small = fit(&small, "x", &[]);
    assert!(
        errors(&small, "standard_error").iter().all(Option::is_some),
        "{small}"
    );
}

/// Clusters that cannot tell an error: one, and not more than coefficients.
#[test]
fn few_clusters() {
    let directory = directory("few_clusters");
    let rows = "0.2,1,a,a\n0.7,3,a,a\n0.6,2,a,b\n0.3,1,a,b\n0.9,5,a,a\n";
    std::fs::write(directory.join("data.csv"), format!("t,x,one,two\n{rows}")).unwrap();
    let arguments = [
        "--data",
        "data.csv",
        "--target",
        "t",
        "--features",
        "x",
        "--cluster",
    ];
    refused(
        &directory,
        &[&arguments[..], &["one"]].concat(),
        &["data.csv: column `one`: every row has the same cluster"],
    );
    let two = [&arguments[..], &["two"]].concat();
    let text = stdout(&run(&directory, &two));
    assert!(text.contains("Warning: not more clusters"), "{text}");
    let fit = json(&directory, &two);
    assert_eq!(fit["few_clusters"], true);
    assert!(fit["coefficients"][1]["p"].is_null(), "{fit}");
}

/// Columns too small, and too large.
#[test]
fn extreme_columns() {
    let directory = directory("extreme");
    let rows = "0.2,1e-300\n0.7,3e-300\n0.6,2e-300\n0.9,4e-300\n";
    std::fs::write(directory.join("small.csv"), format!("t,x\n{rows}")).unwrap();
    let arguments = ["--data", "small.csv", "--target", "t", "--features", "x"];
    let expected = [
        "small.csv: column `x`: `x` varies by",
        "e-300 alone, which is too small",
    ];
    refused(&directory, &arguments, &expected);

    let rows = "0.2,1\n0.7,3\n0.6,2\n0.9,5\n";
    std::fs::write(
        directory.join("large.csv"),
        format!("t,x\n{rows}0.4,1e308\n"),
    )
    .unwrap();
    let arguments = ["--data", "large.csv", "--target", "t", "--features", "x"];
    let expected = ["large.csv:6: column `x`: 1e308 is not of a size up to 2^500, the limit\n"];
    refused(&directory, &arguments, &expected);

    // Weights all together are no matter, unless their squares are beyond the range.
    let weighted = |weight: &str| {
        let rows = ["0.2,1", "0.7,3", "0.6,2", "0.9,5"].map(|row| format!("{row},{weight}\n"));
        std::fs::write(
            directory.join("weights.csv"),
            "t,x,w\n".to_owned() + &rows.concat(),
        )
        .unwrap();
        "--data weights.csv --target t --features x --weight w"
            .split(' ')
            .collect::<Vec<_>>()
    };
    let one = json(&directory, &weighted("1"));
    for weight in ["1e120", "1e-120", "3e150"] {
        let fit = json(&directory, &weighted(weight));
        for name in ["coefficient", "standard_error"] {
            let [ours, theirs] = [&fit, &one].map(|fit| fit["coefficients"][1][name].as_f64());
            agree(ours.unwrap(), theirs.unwrap());
        }
    }
    let nonrobust = [&weighted("1e40")[..], &["--errors", "nonrobust"]].concat();
    let nonrobust = json(&directory, &nonrobust)["coefficients"][1].clone();
    let plain = [&weighted("1")[..], &["--errors", "nonrobust"]].concat();
    let plain = json(&directory, &plain)["coefficients"][1].clone();
    let [ours, theirs] = [&nonrobust, &plain].map(|of| of["standard_error"].as_f64().unwrap());
    agree(ours * 1e20, theirs);
    for weight in ["1e151", "1e308"] {
        let expected = format!(
            "weights.csv:2: column `w`: weight {weight} is not of a size up to 2^500, the limit"
        );
        refused(&directory, &weighted(weight), &[&expected]);
    }
    for weight in ["1e-121", "1e-320"] {
        let expected = format!(
            "weights.csv: column `w`: every weight is at most {weight}, which is too small"
        );
        refused(&directory, &weighted(weight), &[&expected]);
    }

    std::fs::write(directory.join("good.csv"), format!("t,x\n{rows}")).unwrap();
    let arguments = [
        "--data",
        "good.csv",
        "--target",
        "t",
        "--features",
        "x",
        "--save",
        "model.json",
    ];
    stdout(&run(&directory, &arguments));
    let arguments = ["predict", "--model", "model.json", "--data", "large.csv"];
    refused(&directory, &arguments, &expected);
}

/// A saved model of which a part was cut, or changed, is none.
#[test]
fn a_damaged_model_is_refused() {
    let directory = directory("damaged");
    let data = case("statecrime.csv");
    let arguments = [
        "--data",
        &data,
        "--target",
        "graduates",
        "--features",
        "poverty,urban",
        "--save",
        "model.json",
    ];
    stdout(&run(&directory, &arguments));
    let text = std::fs::read_to_string(directory.join("model.json")).unwrap();
    let whole: Value = serde_json::from_str(&text).unwrap();
    let predict = ["predict", "--model", "damaged.json", "--data", &data];
    let check = |damage: &dyn Fn(&mut Value), good: bool| {
        let mut model = whole.clone();
        damage(&mut model);
        std::fs::write(directory.join("damaged.json"), model.to_string()).unwrap();
        if good {
            stdout(&run(&directory, &predict));
        } else {
            let expected = ["damaged.json: not a model that --save wrote: "];
            refused(&directory, &predict, &expected);
        }
    };
    check(&|_| (), true);
    let fit = |model: &mut Value, place: &str| -> Vec<Value> {
        model["fit"]
            .pointer_mut(place)
            .unwrap()
            .as_array_mut()
            .unwrap()
            .drain(1..)
            .collect()
    };
    for place in [
        "/coefficients",
        "/at/coefficients",
        "/at/basis/centers",
        "/at/basis/powers",
        "/bread/lower",
        "/robust/lower",
        "/bends",
    ] {
        check(&|model| drop(fit(model, place)), false);
    }
    check(
        &|model| model["fit"]["coefficients"][1] = Value::from(2.0),
        false,
    );
    check(
        &|model| model["fit"]["robust"]["order"] = Value::from(u64::MAX),
        false,
    );
    check(
        &|model| drop(model["features"].as_array_mut().unwrap().pop()),
        false,
    );
    check(&|model| model["errors"] = Value::from("hc9"), false);
}

/// What could only be a mistake: the target as a feature, outputs over inputs, values out of range.
#[test]
fn mistakes_are_refused() {
    let directory = directory("mistakes");
    let contents = "t,x,f\n0.2,1,3\n0.7,3,2\n0.6,2,2\n0.9,5,1\n";
    std::fs::write(directory.join("data.csv"), contents).unwrap();
    let fit = ["--data", "data.csv", "--target", "t", "--features", "x"];
    let own = [
        "--data",
        "data.csv",
        "--target",
        "t",
        "--features",
        "x,ln(t)",
    ];
    refused(
        &directory,
        &own,
        &["data.csv:1: column `t`: is what is to be explained"],
    );
    let failures = [
        "--data",
        "data.csv",
        "--target",
        "x",
        "--features",
        "f",
        "--failures",
        "f",
    ];
    refused(
        &directory,
        &failures,
        &["column `f`: is what is to be explained"],
    );

    stdout(&run(
        &directory,
        &[&fit[..], &["--save", "model.json"]].concat(),
    ));
    let model = std::fs::read_to_string(directory.join("model.json")).unwrap();
    for option in ["--save", "--svg", "--calibration"] {
        for path in ["data.csv", "./data.csv", "../mistakes/data.csv"] {
            let expected = [option, "would be overwritten"];
            refused(&directory, &[&fit[..], &[option, path]].concat(), &expected);
        }
    }
    let twice = [&fit[..], &["--save", "new", "--svg", "./new"]].concat();
    refused(&directory, &twice, &["--svg ./new", "would be overwritten"]);
    let predict = [
        "predict",
        "--model",
        "model.json",
        "--data",
        "data.csv",
        "--out",
    ];
    for path in ["data.csv", "./model.json"] {
        refused(
            &directory,
            &[&predict[..], &[path]].concat(),
            &["--out", "would be overwritten"],
        );
    }
    assert_eq!(
        std::fs::read_to_string(directory.join("data.csv")).unwrap(),
        contents
    );
    assert_eq!(
        std::fs::read_to_string(directory.join("model.json")).unwrap(),
        model
    );

    let many = "x*x*x*x*x*x*x*x*f";
    let crossed = [&fit[..5], &[many]].concat();
    let expected = ["`x*x*x*x*x*x*x*x*f`: at most 8 names may be crossed"];
    refused(&directory, &crossed, &expected);
    for (folds, needed) in [("5", "5"), ("18446744073709551615", "18446744073709551615")] {
        let folds = [&fit[..], &["--lasso", "auto", "--folds", folds]].concat();
        let expected =
            format!("too few rows: 4 with a positive weight, and this fit needs at least {needed}");
        refused(&directory, &folds, &[&expected]);
    }
    // A picture is drawn, whatever is printed.
    stdout(&run(
        &directory,
        &[&fit[..], &["--json", "--svg", "a.svg"]].concat(),
    ));
    assert!(directory.join("a.svg").exists());
    // The next number below 1: 8.3 standard errors to either side.
    let narrow = json(
        &directory,
        &[&fit[..], &["--level", "0.9999999999999999"]].concat(),
    );
    let narrow = &narrow["coefficients"][1];
    let [upper, coefficient, error] =
        ["upper", "coefficient", "standard_error"].map(|name| narrow[name].as_f64().unwrap());
    assert!(
        ((upper - coefficient) / error - 8.292_361).abs() < 1e-6,
        "{narrow}"
    );

    for (option, value, expected) in [
        ("--ridge", "-1", "the ridge penalty must be finite and >= 0"),
        ("--lasso", "-1", "lambda must be finite and >= 0"),
        ("--level", "-1", "--level is -1"),
        ("--threads", "0", "0 is not in 1..=1024"),
        ("--partitions", "0", "0 is not in 1.."),
        (
            "--errors",
            "clustered",
            "clustered errors need --cluster COLUMN",
        ),
    ] {
        refused(
            &directory,
            &[&fit[..], &[option, value]].concat(),
            &[expected],
        );
    }
    let folds = [&fit[..], &["--lasso", "0.1", "--folds", "5"]].concat();
    refused(&directory, &folds, &["--folds needs --lasso auto"]);
}

/// What is advised works.
#[test]
fn advice_that_helps() {
    let directory = directory("advice");
    let said = |contents: &str, more: &[&str]| {
        std::fs::write(directory.join("data.csv"), contents).unwrap();
        let arguments = ["--data", "data.csv", "--target", "t", "--features", "x"];
        let output = run(&directory, &[&arguments[..], more].concat());
        String::from_utf8(output.stderr).unwrap()
    };
    let rows = "0.2,1\n0.7,3\n0.6,2\n0.9,5\n";
    // All spellings at once; with what is said the file can be used.
    let mixed = format!("t,x\n{rows}0.4,\n0.4,n a\n0.4,NaN\n");
    let message = said(&mixed, &[]);
    let (_, word) = message.split_once("--na '").expect(&message);
    let (word, _) = word.split_once('\'').unwrap();
    assert_eq!(word, ",NaN,n a");
    assert_eq!(said(&mixed, &["--na", word]), "");

    let message = said(&format!("t,x\n{rows}0.4,\"u, v\"\n"), &[]);
    assert!(
        message.contains("--na cannot name a word with a comma"),
        "{message}"
    );
    let message = said(&format!("t,x\n{rows}0.4,high\n"), &[]);
    assert!(
        message.contains("--na 'high' leaves such rows out; C(x) takes"),
        "{message}"
    );
    let message = said("x,t\n1,0.2\n3,high\n", &[]);
    assert!(
        message.contains("column `t`: `high` is not a number; --na 'high'"),
        "{message}"
    );
    assert!(!message.contains("C("), "{message}");

    let thousands = ["--separator", ";", "--decimal-comma"];
    let message = said("t;x\n0,5;1.000,5\n", &thousands);
    assert!(
        message.contains("`1.000,5` is not a number; signs between thousands"),
        "{message}"
    );
    // 1000, and not 1.
    let message = said("t;x\n0,5;1.000\n", &thousands);
    assert!(
        message.contains("`1.000` is not a number; signs between thousands"),
        "{message}"
    );
    let message = said("t;x\n0,5;1,5\n", &thousands[..2]);
    assert!(message.contains("; --decimal-comma reads it"), "{message}");

    for open in ["0.4,\"1\n0.2,3\n0.3,4\n", "0.4,3\n\"0.2,3\n0.3,4\n"] {
        let message = said(&format!("t,x\n{rows}{open}"), &[]);
        assert!(message.contains("a quote (\") is opened"), "{message}");
        assert!(message.len() < 200, "{message}");
    }
}

/// A category of many levels, whose columns are never made: its own means, saved and predicted in a stream, one hash.
#[test]
fn a_category_of_many_levels() {
    const LEVELS: usize = 40;
    let directory = directory("levels");
    let mut lines: Vec<String> = (0..12 * LEVELS)
        .map(|row| {
            let (town, x) = (row * 7 % LEVELS, row * row % 11);
            format!("{},town {town},{x}\n", (row * 31 % 97) as f64 / 100.0)
        })
        .collect();
    let write = |name: &str, lines: &[String]| {
        let text = format!("share,town,x\n{}", lines.concat());
        std::fs::write(directory.join(name), text).unwrap();
    };
    write("a.csv", &lines);
    lines.sort();
    write("b.csv", &lines);
    let fit = |data, features, more: &[&str]| {
        let fit = ["--data", data, "--target", "share", "--features", features];
        json(&directory, &[&fit[..], more].concat())
    };
    // Behind x, though it is named first.
    let one = fit("a.csv", "C(town),x", &["--save", "model.json"]);
    let other = fit(
        "b.csv",
        "C(town),x",
        &["--partitions", "3", "--memory", "0"],
    );
    assert_eq!(one["hash"], other["hash"]);
    let names = one["coefficients"].as_array().unwrap();
    assert_eq!(names.len(), 1 + LEVELS);
    assert_eq!(
        (&names[1]["name"], &names[2]["name"]),
        (&"x".into(), &"town=town 1".into())
    );
    // In columns, as each is its own feature here: the same numbers.
    let quoted: Vec<String> = (1..LEVELS).map(|town| format!("t{town}")).collect();
    let indicators = lines.iter().map(|line| {
        let town = line.split(',').nth(1).unwrap();
        let is_it = |of: usize| {
            if town == format!("town {of}") {
                ",1"
            } else {
                ",0"
            }
        };
        let columns: String = (1..LEVELS).map(is_it).collect();
        format!("{}{columns}\n", line.trim_end())
    });
    let text = format!(
        "share,town,x,{}\n{}",
        quoted.join(","),
        indicators.collect::<String>()
    );
    std::fs::write(directory.join("wide.csv"), text).unwrap();
    let wide = fit("wide.csv", &format!("x,{}", quoted.join(",")), &[]);
    let of_name = |fit: &Value, name: &str, key: &str| {
        let rows = fit["coefficients"].as_array().unwrap();
        rows.iter().find(|row| row["name"] == name).unwrap()[key]
            .as_f64()
            .unwrap()
    };
    for town in 1..LEVELS {
        for key in ["coefficient", "standard_error"] {
            let ours = of_name(&one, &format!("town=town {town}"), key);
            let right = of_name(&wide, &format!("t{town}"), key);
            assert!(
                (ours - right).abs() <= 1e-11 * right.abs().max(0.01),
                "{key} {ours} {right}"
            );
        }
    }

    // In a stream: from standard input, to a file that is whole or not there.
    let mut child = Command::new(env!("CARGO_BIN_EXE_fractional-logit"))
        .args([
            "predict",
            "--model",
            "model.json",
            "--data",
            "-",
            "--out",
            "out.csv",
        ])
        .current_dir(&directory)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"x,town\n3,town 0\n3,town 1\n")
        .unwrap();
    assert!(child.wait().unwrap().success());
    let rows = std::fs::read_to_string(directory.join("out.csv")).unwrap();
    let logit = |line: usize| -> f64 {
        rows.lines()
            .nth(line)
            .unwrap()
            .split(',')
            .nth(4)
            .unwrap()
            .parse()
            .unwrap()
    };
    let between = of_name(&one, "town=town 1", "coefficient");
    assert!((logit(2) - logit(1) - between).abs() < 1e-12);
    std::fs::write(directory.join("new.csv"), "x,town\n3,town 0\n3,town 99\n").unwrap();
    let predict = [
        "predict",
        "--model",
        "model.json",
        "--data",
        "new.csv",
        "--out",
        "new.out",
    ];
    let expected = [
        "new.csv:3: column `town`: level `town 99` is new",
        "and 16 more",
    ];
    refused(&directory, &predict, &expected);
    let made = |name: &str| directory.join(name).exists();
    assert!(!made("new.out") && !made("new.out.unfinished") && made("out.csv"));

    // A level without a finite coefficient; x that does not vary within towns; more columns than can be.
    lines.extend(["1,away,1\n", "1,away,2\n"].map(str::to_owned));
    write("c.csv", &lines);
    let fit = |data, more: &[&'static str]| {
        [
            &["--data", data, "--target", "share", "--features"][..],
            more,
        ]
        .concat()
    };
    let away = "column `town`: separation: the target of all 2 rows of level `away` is 1";
    refused(
        &directory,
        &fit("c.csv", &["C(town)"]),
        &[away, "--ridge 0.01"],
    );
    let ridge = fit("c.csv", &["C(town)", "--ridge", "0.01"]);
    assert!(run(&directory, &ridge).status.success());
    let lasso = fit("a.csv", &["C(town),x", "--lasso", "0.01"]);
    assert!(run(&directory, &lasso).status.success());
    let both = fit("a.csv", &["C(town),x,C(town, town 3):x"]);
    assert!(run(&directory, &both).status.success());
    let rows = (0..5000).map(|row| format!("0.{},a{row},b{row},1\n", row % 10));
    write("d.csv", &rows.collect::<Vec<_>>());
    let text = std::fs::read_to_string(directory.join("d.csv")).unwrap();
    std::fs::write(
        directory.join("d.csv"),
        text.replace("share,town,x", "share,town,b,x"),
    )
    .unwrap();
    let wide = fit("d.csv", &["C(town),C(b)"]);
    refused(&directory, &wide, &["4999 columns", "2048 is the limit"]);
}
