// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A table that fits a width: columns are left out until it does.

use comfy_table::{CellAlignment, Table, presets};
use unicode_width::UnicodeWidthStr as _;

/// A column.
#[derive(Clone, Debug)]
pub struct Head {
    /// Its name.
    pub name: String,
    /// Numbers are aligned to the right.
    pub is_number: bool,
    /// Columns with the largest rank are left out first if there is no room. 0 always stays.
    pub rank: u8,
}

impl Head {
    /// A column of texts.
    pub fn text(name: &str, rank: u8) -> Self {
        Self { name: name.to_owned(), is_number: false, rank }
    }

    /// A column of numbers.
    pub fn number(name: &str, rank: u8) -> Self {
        Self { is_number: true, ..Self::text(name, rank) }
    }
}

/// A line for the names and one for each row, and the names of the columns for which there was no room.
/// No cell may have more than one line.
pub fn fitting(
    heads: &[Head],
    rows: &[Vec<String>],
    width: Option<usize>,
) -> (Vec<String>, Vec<String>) {
    let mut last = u8::MAX;
    loop {
        let kept = || heads.iter().enumerate().filter(move |(_, head)| head.rank <= last);
        let table = rendered(kept, rows);
        let fits = |width: usize| table.iter().all(|row| row.width() <= width);
        let largest = kept().map(|(_, head)| head.rank).max().unwrap_or(0);
        if largest == 0 || width.is_none_or(fits) {
            let gone = heads.iter().filter(|head| head.rank > last && !head.name.is_empty());
            return (table, gone.map(|head| head.name.clone()).collect());
        }
        last = largest - 1;
    }
}

fn rendered<'a, I>(heads: impl Fn() -> I, rows: &[Vec<String>]) -> Vec<String>
where
    I: Iterator<Item = (usize, &'a Head)>,
{
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(heads().map(|(_, head)| head.name.as_str()));
    for row in rows {
        table.add_row(heads().filter_map(|(i, _)| row.get(i)));
    }
    for (at, (_, head)) in heads().enumerate() {
        if let Some(column) = table.column_mut(at).filter(|_| head.is_number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt().lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_dropped_by_rank_until_the_rest_fits() {
        let heads = [Head::number("ID", 0), Head::text("LONG", 2), Head::text("LESS", 1)];
        let rows = [vec!["1".to_owned(), "x".repeat(30), "日本".to_owned()]];
        let of = |width| fitting(&heads, &rows, width);
        assert_eq!(of(None).1, [""; 0]);
        assert_eq!(of(Some(20)).1, ["LONG"]);
        // Each of these characters takes two cells of a terminal.
        let (table, _) = of(Some(20));
        let cells = table.iter().map(|row| row.width()).max().unwrap();
        assert_eq!(of(Some(cells)).1, ["LONG"]);
        assert_eq!(of(Some(cells - 1)).1, ["LONG", "LESS"]);
        assert_eq!(of(Some(1)).1, ["LONG", "LESS"], "what always stays may be wider");
    }
}
