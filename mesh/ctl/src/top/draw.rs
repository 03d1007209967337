//! A view on a terminal.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{self, Paragraph};

use super::{Look, Table, View};

/// Draws a view; before the first there is none. What does not fit is left out.
pub fn draw(frame: &mut Frame<'_>, view: Option<&View>, keys: &str) {
    let tables = view.map(|view| view.tables(frame.area().width.into())).unwrap_or_default();
    let mut heights = vec![Constraint::Length(2)];
    for table in &tables {
        let rows = u16::try_from(table.rows.len()).unwrap_or(u16::MAX);
        heights.push(Constraint::Length(rows.saturating_add(2)));
    }
    heights.push(Constraint::Min(0));
    let areas = Layout::vertical(heights).split(frame.area());
    let title = match view {
        None => "looking …".to_owned(),
        Some(view) => format!(
            "{} processes, {:.1} calls/s in the last {:.1} s",
            view.services.len(),
            view.calls_per_second,
            view.interval_seconds
        ),
    };
    let heading = Line::from(vec![
        Span::styled(title, style(Look::Strong)),
        Span::styled(format!("   {keys}"), style(Look::Faint)),
    ]);
    frame.render_widget(Paragraph::new(heading), areas[0]);
    for (table, area) in tables.iter().zip(areas.iter().skip(1)) {
        frame.render_widget(widget(table), *area);
    }
}

fn widget(table: &Table) -> widgets::Table<'_> {
    let widths = table.widths.iter().map(|width| u16::try_from(*width).unwrap_or(u16::MAX));
    let titles =
        table.titles.iter().enumerate().map(|(column, title)| aligned(column, title, Look::Faint));
    let rows = table.rows.iter().map(|row| {
        let cells = row.iter().enumerate();
        widgets::Row::new(cells.map(|(column, cell)| aligned(column, &cell.text, cell.look)))
    });
    widgets::Table::new(rows, widths.map(Constraint::Length))
        .header(widgets::Row::new(titles))
        .column_spacing(2)
}

/// Words to the left, figures to the right.
fn aligned(column: usize, text: &str, look: Look) -> Text<'_> {
    let text = Text::styled(text, style(look));
    if column == 0 || look == Look::Good { text } else { text.right_aligned() }
}

fn style(look: Look) -> Style {
    let style = Style::new();
    match look {
        Look::Plain => style,
        Look::Faint => style.add_modifier(Modifier::DIM),
        Look::Strong => style.add_modifier(Modifier::BOLD),
        Look::Good => style.fg(Color::Green),
        Look::Doubtful => style.fg(Color::Yellow),
        Look::Bad => style.fg(Color::Red),
    }
}
