//! Plain text tables.

use std::fmt;

/// A table: a title, a line of column heads, rows. The first column is aligned left, the others right.
pub struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub fn new<H: Into<String>>(title: impl Into<String>, heads: impl IntoIterator<Item = H>) -> Self {
        Self { title: title.into(), rows: vec![heads.into_iter().map(H::into).collect()] }
    }

    /// Adds a row; columns that it lacks stay empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width =
            |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        writeln!(out, "{}", self.title)?;
        for (index, row) in self.rows.iter().enumerate() {
            let mut line = String::from(" ");
            for (column, width) in widths.iter().copied().enumerate() {
                let cell = row.get(column).map_or("", String::as_str);
                line += &if column == 0 { format!(" {cell:<width$}") } else { format!("  {cell:>width$}") };
            }
            writeln!(out, "{}", line.trim_end())?;
            if index == 0 {
                writeln!(out, "  {}", "-".repeat(widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1)))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new("sizes", ["image", "bytes"]);
        table.row(["hello".to_owned(), "1,234".to_owned()]);
        table.row(["x".to_owned(), "5".to_owned()]);
        assert_eq!(table.to_string(), "sizes\n  image  bytes\n  ------------\n  hello  1,234\n  x          5\n");
    }
}
