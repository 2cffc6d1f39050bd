//! Text in aligned columns, by the rules of Go's `text/tabwriter`: a column is a run of lines that all have a cell in it,
//! and cells end with a tab. What stands behind the last tab of a line belongs to no column.

#[derive(Clone, Debug)]
pub struct Columns {
    min_width: usize,
    padding: usize,
    /// Columns never become narrower from one text to the next, so that rows of a watch stay below each other.
    remembered: Option<Vec<usize>>,
}

impl Columns {
    /// Those of tables.
    pub fn of_table() -> Self {
        Self { min_width: 6, padding: 3, remembered: Some(Vec::new()) }
    }

    /// Those of `describe`.
    pub fn of_description() -> Self {
        Self { min_width: 0, padding: 2, remembered: None }
    }

    pub fn align(&mut self, text: &str) -> String {
        let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
        let mut out = String::with_capacity(text.len() * 2);
        self.block(&lines, 0, &mut Vec::new(), &mut out);
        // The last line's end was added by `write`; the text had none behind it.
        out.pop();
        out
    }

    fn block(&mut self, lines: &[Vec<&str>], depth: usize, widths: &mut Vec<usize>, out: &mut String) {
        let has_column = |line: &Vec<&str>| line.len() > depth + 1;
        let mut done = 0;
        let mut at = 0;
        while at < lines.len() {
            if !has_column(&lines[at]) {
                at += 1;
                continue;
            }
            write(&lines[done..at], widths, out);
            let end = lines[at..].iter().position(|line| !has_column(line)).map_or(lines.len(), |n| at + n);
            let widest = lines[at..end].iter().map(|line| width(line[depth])).max().unwrap_or(0);
            let mut column = (widest + self.padding).max(self.min_width);
            if let Some(remembered) = &mut self.remembered {
                if remembered.len() <= depth {
                    remembered.resize(depth + 1, 0);
                }
                remembered[depth] = remembered[depth].max(column);
                column = remembered[depth];
            }
            widths.push(column);
            self.block(&lines[at..end], depth + 1, widths, out);
            widths.pop();
            done = end;
            at = end;
        }
        write(&lines[done..], widths, out);
    }
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

fn write(lines: &[Vec<&str>], widths: &[usize], out: &mut String) {
    for line in lines {
        for (at, cell) in line.iter().enumerate() {
            out.push_str(cell);
            if let Some(column) = widths.get(at) {
                out.extend(std::iter::repeat_n(' ', column.saturating_sub(width(cell))));
            }
        }
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn columns_end_where_a_line_has_no_cell() {
        let text = "Name:\ta\nLabels:\tx=1\n\ty=2\nContainers:\n  a:\n    Image:\tnginx\n    Mounts:\t<none>\nEvents:\t<none>\n";
        expect![[r#"
            Name:    a
            Labels:  x=1
                     y=2
            Containers:
              a:
                Image:   nginx
                Mounts:  <none>
            Events:      <none>
        "#]]
        .assert_eq(&Columns::of_description().align(text));
    }

    #[test]
    fn a_watch_keeps_the_widths() {
        let mut columns = Columns::of_table();
        assert_eq!(columns.align("NAME\tAGE\na-long-name\t1s\n"), "NAME          AGE\na-long-name   1s\n");
        assert_eq!(columns.align("b\t2s\n"), "b             2s\n");
    }
}
