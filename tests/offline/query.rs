// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! SQL over recordings: the library's answers, and the command's formats.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::{replay, synthetic};
use estats::replay::ReplayOptions;
use estats::views::query::{Answer, QueryError, Run, sql};
use serde_json::{Value, json};

/// A replayed synthetic recording.
fn run(dir: &Path, name: &str, short: u64) -> Run {
    let path = dir.join(name);
    synthetic(&path, short);
    let tables = replay(&path, &ReplayOptions::default()).dir;
    Run { name: name.into(), tables }
}

fn command(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
        .current_dir(dir)
        .args(arguments)
        .output()
        .expect("estats-analyze runs")
}

#[track_caller]
fn stdout(output: &Output) -> &str {
    // 3: done, and these recordings lost records.
    let is_done = matches!(output.status.code(), Some(0 | 3));
    assert!(is_done, "{}", String::from_utf8_lossy(&output.stderr));
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

#[test]
fn a_table_has_the_rows_of_all_recordings() {
    let dir = tempfile::tempdir().unwrap();
    let runs = [run(dir.path(), "a", 0), run(dir.path(), "b", 7)];
    let ask = |runs: &[Run], statement: &str| sql(runs, statement).unwrap().rows().to_vec();
    let count = "SELECT run, COUNT(*) AS n FROM connections GROUP BY run ORDER BY run";
    let [a, b] =
        [0, 1].map(|i| ask(&runs[i..=i], "SELECT COUNT(*) FROM connections")[0][0].clone());
    assert_eq!(b.as_u64().unwrap(), a.as_u64().unwrap() + 7);
    // By itself, which polars answers without reading a column, and with a condition.
    let sum = a.as_u64().unwrap() + b.as_u64().unwrap();
    assert_eq!(ask(&runs, "SELECT COUNT(*) FROM connections"), [[json!(sum)]]);
    assert_eq!(ask(&runs, "SELECT COUNT(*) FROM estats WHERE run = 'b'"), [[b.clone()]]);
    assert_eq!(ask(&runs, count), [[json!("a"), a], [json!("b"), b.clone()]]);
    // Recordings come in the order in which they are named; `run` stands first.
    let turned = [runs[1].clone(), runs[0].clone()];
    let answer = sql(&turned, "SELECT * FROM estats").unwrap();
    assert_eq!(answer.names()[0], "run");
    let first = b.as_u64().unwrap() as usize;
    assert!(answer.rows()[..first].iter().all(|row| row[0] == "b"));
    assert!(answer.rows()[first..].iter().all(|row| row[0] == "a"));
}

#[test]
fn every_table_can_be_asked_and_types_are_plain() {
    let dir = tempfile::tempdir().unwrap();
    let runs = [run(dir.path(), "a", 3), run(dir.path(), "b", 0)];
    for table in estats::output::tables::specs(&estats::output::tables::Qualities::default()) {
        let answer = sql(&runs, &format!("SELECT * FROM {}", table.name)).unwrap();
        let mut expected = vec!["run"];
        expected.extend(table.columns.iter().map(|c| c.name));
        assert_eq!(answer.names(), expected, "{}", table.name);
    }
    let answer = sql(
        &runs[..1],
        "SELECT conn_id, begin_ts, duration_s, established, comm, end_ns FROM connections
         WHERE conn_id = 2",
    )
    .unwrap();
    let row = &answer.rows()[0];
    assert_eq!(row[0], 2);
    // The fixture's wall clock begins at 2026-01-01T00:00:00Z, this connection 1 ms later.
    assert_eq!(row[1], "2026-01-01T00:00:00.001Z");
    assert!(row[2].is_f64() && row[5].is_i64(), "{row:?}");
    assert_eq!((&row[3], &row[4]), (&json!(true), &json!("curl")));
}

#[test]
fn null_is_not_zero_in_any_format() {
    let dir = tempfile::tempdir().unwrap();
    let runs = [run(dir.path(), "a", 0)];
    let answer =
        sql(&runs, "SELECT NULL AS gone, 0 AS zero, 'say \"a, b\"' AS text FROM tune LIMIT 1")
            .unwrap();
    assert_eq!(answer.rows(), [[Value::Null, json!(0), json!("say \"a, b\"")]]);
    let words: Vec<_> =
        answer.text().lines().nth(1).unwrap().split_whitespace().map(str::to_owned).collect();
    assert_eq!(words[..2], ["NULL", "0"]);
    assert_eq!(answer.csv(), "gone,zero,text\n,0,\"say \"\"a, b\"\"\"\n");
    let text = serde_json::to_string(&answer).unwrap();
    assert_eq!(text, r#"[{"gone":null,"zero":0,"text":"say \"a, b\""}]"#);
}

#[test]
fn an_answer_without_rows_has_its_columns() {
    let dir = tempfile::tempdir().unwrap();
    let runs = [run(dir.path(), "a", 0)];
    let answer = sql(&runs, "SELECT conn_id, comm FROM connections WHERE conn_id < 0").unwrap();
    assert_eq!(answer.csv(), "conn_id,comm\n");
    assert_eq!(answer.text().split_whitespace().collect::<Vec<_>>(), ["conn_id", "comm"]);
    assert_eq!(serde_json::to_string(&answer).unwrap(), "[]");
}

#[test]
fn every_row_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let runs = [run(dir.path(), "a", 100)];
    let answer = sql(&runs, "SELECT * FROM estats").unwrap();
    assert!(answer.rows().len() > 100);
    let text = answer.text();
    assert_eq!(text.lines().count(), answer.rows().len() + 1);
    assert!(!text.contains('…'), "nothing is left out");
}

#[test]
fn invalid_queries_are_explained() {
    let dir = tempfile::tempdir().unwrap();
    let a = run(dir.path(), "a", 0);
    let twice = sql(&[a.clone(), a.clone()], "SELECT * FROM estats").unwrap_err();
    assert!(matches!(twice, QueryError::Twice(name) if name == "a"));
    let unknown = sql(std::slice::from_ref(&a), "SELECT * FROM nothing").unwrap_err().to_string();
    assert!(unknown.contains("nothing"), "{unknown}");
    let empty = Run { name: "e".into(), tables: dir.path().join("a") };
    let none = sql(&[empty], "SELECT 1").unwrap_err();
    assert!(matches!(none, QueryError::NoTables(_)), "{none}");
}

#[test]
fn the_command_replays_asks_and_writes() {
    let dir = tempfile::tempdir().unwrap();
    for (name, short) in [("a", 0), ("b", 2)] {
        synthetic(&dir.path().join(name), short);
    }
    let statement = "SELECT run, conn_id, RemPort FROM estats ORDER BY run, conn_id";
    let json = command(dir.path(), &["sql", "a/", "b", statement, "--json"]);
    let rows: Vec<Value> = serde_json::from_str(stdout(&json)).unwrap();
    assert_eq!(rows[0], json!({"run": "a", "conn_id": 1, "RemPort": 443}));
    assert_eq!(rows.last().unwrap()["run"], "b");
    let replayed = String::from_utf8(json.stderr).unwrap();
    assert_eq!(replayed.matches("there are no tables yet").count(), 2, "{replayed}");

    let csv = command(dir.path(), &["sql", "a", "b", "--csv", statement]);
    assert_eq!(stdout(&csv).lines().count(), rows.len() + 1);
    assert!(stdout(&csv).starts_with("run,conn_id,RemPort\na,1,443\n"));
    let text = command(dir.path(), &["sql", "a", "b", statement]);
    assert_eq!(stdout(&text).lines().count(), rows.len() + 1);

    let file = command(dir.path(), &["sql", "a", "b", statement, "--parquet", "out.parquet"]);
    assert_eq!(stdout(&file), "");
    let path: PathBuf = dir.path().join("out.parquet");
    let again = Answer::of(std::fs::read(path).unwrap()).unwrap();
    assert_eq!(serde_json::to_value(&again).unwrap(), Value::Array(rows));
}

#[test]
fn the_command_names_the_fault() {
    let dir = tempfile::tempdir().unwrap();
    synthetic(&dir.path().join("a"), 0);
    for (arguments, words) in [
        (&["sql", "a", "SELECT"][..], "the query failed"),
        (&["sql", "a", "a/", "SELECT 1"], "named twice"),
        (&["sql", "nothing", "SELECT 1"], "nothing"),
        (&["sql"], "required"),
        (&["sql", "a"], "and then a statement"),
        (
            &["sql", "a", "SELECT 1", "--parquet", "no/dir/x.parquet"],
            "cannot write no/dir/x.parquet",
        ),
    ] {
        let output = command(dir.path(), arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
    }
}
