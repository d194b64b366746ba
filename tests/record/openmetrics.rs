// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A strict reader of OpenMetrics text, as much of it as gauges and counters need.

use std::collections::{BTreeMap, BTreeSet};

/// Labels of a sample, in the order of their names.
type Labels = BTreeMap<String, String>;

/// The samples of a text.
#[derive(Debug)]
pub struct OpenMetrics(BTreeMap<(String, Labels), f64>);

/// A family, as its lines describe it.
#[derive(Debug, Default)]
struct Family {
    name: String,
    kind: String,
    described: BTreeSet<String>,
}

impl OpenMetrics {
    /// Reads a text. Panics where it is not as the specification wants it.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("the last line is # EOF");
        let (mut family, mut families) = (Family::default(), BTreeSet::new());
        let mut samples = BTreeMap::new();
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# ") {
                let mut words = rest.splitn(3, ' ');
                let mut word =
                    || words.next().unwrap_or_else(|| panic!("{line:?} has three words"));
                let (what, name, value) = (word(), word(), word());
                if name != family.name {
                    assert!(families.insert(name.to_owned()), "{name} comes twice");
                    family = Family { name: name.to_owned(), ..Family::default() };
                }
                assert!(family.described.insert(what.to_owned()), "{line:?} comes twice");
                match what {
                    "TYPE" => {
                        assert!(matches!(value, "gauge" | "counter"), "{line}");
                        assert!(!name.ends_with("_total"), "a family has no suffix: {line}");
                        value.clone_into(&mut family.kind);
                    }
                    "UNIT" => assert!(name.ends_with(&format!("_{value}")), "{line}"),
                    "HELP" => assert!(value.ends_with('.') && !value.contains('\\'), "{line}"),
                    _ => panic!("{line:?} is neither TYPE, UNIT nor HELP"),
                }
                continue;
            }
            let (key, value) = line.rsplit_once(' ').expect("a value after a blank");
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line:?}"));
            let (name, labels) = match key.split_once('{') {
                Some((name, rest)) => (name, rest.strip_suffix('}').expect("a brace at the end")),
                None => (key, ""),
            };
            let suffix = name.strip_prefix(&family.name).unwrap_or_else(|| panic!("{line:?}"));
            let right = if family.kind == "counter" { "_total" } else { "" };
            assert_eq!(suffix, right, "{line}: {family:?}");
            assert!(value >= 0.0 && value.is_finite(), "{line}");
            let labels = labels.split(',').filter(|label| !label.is_empty());
            let labels: Labels = labels
                .map(|label| {
                    let (name, value) = label.split_once("=\"").expect("a label");
                    let value = value.strip_suffix('"').expect("a quote");
                    assert!(!value.contains(['"', '\\']) && !value.is_empty(), "{line}");
                    (name.to_owned(), value.to_owned())
                })
                .collect();
            assert!(
                samples.insert((name.to_owned(), labels), value).is_none(),
                "{line} comes twice"
            );
        }
        assert!(samples.len() > 10, "{text}");
        Self(samples)
    }

    /// The sample with this name and these labels.
    #[track_caller]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let key = (name.to_owned(), labels);
        *self.0.get(&key).unwrap_or_else(|| panic!("no {key:?} in {self:?}"))
    }

    /// The sum over all labels.
    pub fn sum(&self, name: &str) -> f64 {
        self.0.iter().filter(|((of, _), _)| of == name).map(|(_, value)| value).sum()
    }
}
