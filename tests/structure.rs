//! The files of `src` form layers: what a file imports lies in a layer below its own or, without a
//! circle, beside it. Read from their text: `use` lines, and paths within code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// From the interface down. A module is named as its path in the crate, `lib` is the crate's root.
const LAYERS: &[&[&str]] = &[
    &["lib"],
    &["linear", "linear::par"],
    &["losses", "probability"],
    &["bce", "exact", "par", "scalar", "slices"],
    &["entry"],
    &["shape"],
    &[
        "linear::columns",
        "linear::features",
        "linear::gram",
        "linear::logits",
        "linear::sums",
        "linear::walk",
    ],
    &["dispatch"],
    &["walk"],
    &[
        "kernel",
        "kernel::double",
        "kernel::exact",
        "kernel::excess",
        "kernel::fixed",
        "kernel::general",
    ],
    &["span_sum"],
    &[
        "lane",
        "lane::arm",
        "lane::emulated",
        "lane::emulated::tests",
        "lane::fma",
        "lane::pair",
        "lane::portable",
        "lane::scalar",
        "lane::x86",
    ],
    &["sum"],
    &["coeffs", "error"],
];

/// Module to text, comments left out.
type Sources = BTreeMap<String, String>;

fn sources() -> Sources {
    fn read(directory: &Path, prefix: &str, sources: &mut Sources) {
        for entry in directory.read_dir().unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            let module = format!("{prefix}{name}");
            if path.is_dir() {
                read(&path, &format!("{module}::"), sources);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = |line: &str| line.split("//").next().unwrap_or("").to_owned();
                let code: Vec<String> = text.lines().map(code).collect();
                sources.insert(module, code.join("\n"));
            }
        }
    }
    let mut sources = Sources::new();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    read(&directory, "", &mut sources);
    sources
}

/// Adds the paths that `text` begins with, `a::b` as well as `a::{b, c::d}`; returns what follows.
fn parse<'a>(prefix: &str, text: &'a str, paths: &mut Vec<String>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = parse(prefix, rest, paths).trim_start();
            match rest.split_at_checked(1) {
                Some((",", after)) => rest = after,
                Some(("}", after)) => return after,
                _ => return rest,
            }
        }
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    let (name, rest) = text.split_at(end.unwrap_or(text.len()));
    let path = format!("{prefix}{name}");
    match rest.strip_prefix("::") {
        Some(rest) if !name.is_empty() => parse(&format!("{path}::"), rest, paths),
        _ => {
            // Up to the comma or brace: `as other`, `*`.
            paths.push(path);
            let end = rest.find([',', '}', ';', '(', ')', '\n']);
            &rest[end.unwrap_or(rest.len())..]
        }
    }
}

/// The modules that a module imports.
fn imports(module: &str, sources: &Sources) -> BTreeSet<String> {
    let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
    let inside = if module == "lib" { "" } else { module };
    let absolute = |module: &str| match module {
        "" => String::new(),
        _ => format!("{module}::"),
    };
    let mut starts = vec![
        ("crate::".to_owned(), String::new()),
        ("super::".to_owned(), absolute(parent)),
        ("self::".to_owned(), absolute(inside)),
    ];
    // The modules of its own, which it may name without more ado.
    for name in sources.keys() {
        let child = name.strip_prefix(&absolute(inside));
        if let Some(child) = child.filter(|child| !child.contains("::") && *child != "lib") {
            starts.push((
                format!("{child}::"),
                format!("{}{child}::", absolute(inside)),
            ));
        }
    }
    let text = &sources[module];
    let mut paths = Vec::new();
    for (start, prefix) in &starts {
        for (at, _) in text.match_indices(start.as_str()) {
            let before = text[..at].chars().next_back();
            if before.is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == ':')) {
                parse(prefix, &text[at + start.len()..], &mut paths);
            }
        }
    }
    // The longest part of a path that is a module; the root, if none is.
    let module_of = |path: &String| {
        let mut names = Vec::new();
        for name in path.split("::") {
            if name == "super" {
                names.pop();
            } else {
                names.push(name);
            }
        }
        while !names.is_empty() && !sources.contains_key(&names.join("::")) {
            names.pop();
        }
        if names.is_empty() {
            "lib".to_owned()
        } else {
            names.join("::")
        }
    };
    let mut imported: BTreeSet<String> = paths.iter().map(module_of).collect();
    imported.remove(module);
    imported
}

/// What is wrong with the structure.
fn faults(sources: &Sources) -> Vec<String> {
    let layer = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    let mut faults = Vec::new();
    let mut graph = BTreeMap::new();
    for module in sources.keys() {
        let imported = imports(module, sources);
        if layer(module).is_none() {
            faults.push(format!("{module} is in no layer"));
        }
        for other in &imported {
            if layer(other) < layer(module) {
                faults.push(format!("{module} imports {other}, which lies above it"));
            }
        }
        graph.insert(module, imported);
    }
    // Without those that import nothing, again and again: what is left has circles.
    while let Some(module) = graph.iter().find(|(_, imported)| imported.is_empty()) {
        let module = (*module.0).clone();
        graph.remove(&module);
        graph.values_mut().for_each(|imported| {
            imported.remove(&module);
        });
    }
    // And without those that nothing imports.
    loop {
        let imported: BTreeSet<String> = graph.values().flatten().cloned().collect();
        let before = graph.len();
        graph.retain(|module, _| imported.contains(*module));
        if graph.len() == before {
            break;
        }
    }
    if !graph.is_empty() {
        faults.push(format!("in circles: {:?}", graph.keys()));
    }
    faults
}

#[test]
fn nothing_runs_back_up() {
    let sources = sources();
    assert_eq!(faults(&sources), Vec::<String>::new());
    let listed: BTreeSet<&str> = LAYERS.concat().into_iter().collect();
    let existing: BTreeSet<&str> = sources.keys().map(String::as_str).collect();
    assert_eq!(listed, existing, "the layers name other files");
}

/// That it can fail, and sees imports however they are written.
#[test]
fn planted_imports_are_found() {
    let planted = |module: &str, text: &str| {
        let mut sources = sources();
        sources.get_mut(module).unwrap().push_str(text);
        faults(&sources).join("; ")
    };
    let upwards = [
        ("kernel", "use crate::bce::Bce;", "bce"),
        ("lane::x86", "fn f() { super::super::walk::f() }", "walk"),
        ("sum", "use crate::Error;", "lib"),
        (
            "sum",
            "use crate::{\n    error::Error,\n    lane::{Lane as L, pair::*},\n};",
            "lane::pair",
        ),
        ("coeffs", "fn f() -> crate::sum::LossSum { loop {} }", "sum"),
    ];
    for (module, text, above) in upwards {
        let expected = format!("{module} imports {above}, which lies above it");
        let found = planted(module, text);
        assert!(found.contains(&expected), "{text}: {found}");
    }
    for (module, text, circle) in [
        ("slices", "use crate::exact;", r#"["exact", "slices"]"#),
        (
            "kernel::double",
            "use super::{Point, exact::Exact};",
            r#"["kernel::double", "kernel::exact"]"#,
        ),
    ] {
        let found = planted(module, text);
        assert!(
            found.contains(&format!("in circles: {circle}")),
            "{text}: {found}"
        );
    }
}
