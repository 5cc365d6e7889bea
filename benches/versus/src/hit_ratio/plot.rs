//! A plot a trace: the hit ratio of each player over the cache's size.

use std::error::Error;
use std::path::Path;

use plotters::prelude::ChartBuilder;
use plotters::prelude::Color;
use plotters::prelude::IntoDrawingArea;
use plotters::prelude::IntoLogRange;
use plotters::prelude::LineSeries;
use plotters::prelude::Palette;
use plotters::prelude::Palette99;
use plotters::prelude::PathElement;
use plotters::prelude::SVGBackend;
use plotters::prelude::SeriesLabelPosition;
use plotters::prelude::ShapeStyle;
use plotters::style::BLACK;
use plotters::style::RED;
use plotters::style::WHITE;

use super::field::Role;
use super::results::Results;
use super::results::Row;

/// Into that directory, one file a trace and number of threads. A line needs two sizes.
pub fn plots(results: &Results, directory: &Path) -> Result<(), Box<dyn Error>> {
    let mut rows = &results.rows[..];
    while let Some(first) = rows.first() {
        let same = rows.iter().take_while(|row| (&row.trace, row.threads) == (&first.trace, first.threads)).count();
        let (these, others) = rows.split_at(same);
        rows = others;
        if these.len() > 1 {
            plot(results, these, &directory.join(file(first)))?;
        }
    }
    Ok(())
}

fn title(row: &Row) -> String {
    if row.threads == 1 { row.trace.clone() } else { format!("{}, {} threads", row.trace, row.threads) }
}

fn file(row: &Row) -> String {
    let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    title(row).chars().map(plain).collect::<String>() + ".svg"
}

fn plot(results: &Results, rows: &[Row], file: &Path) -> Result<(), Box<dyn Error>> {
    let ratios = rows.iter().flat_map(|row| (0..results.players.len()).filter_map(|player| row.ratio(player)));
    let highest = ratios.fold(1.0, f64::max);
    let capacities = rows.iter().map(|row| row.capacity as f64);
    let (least, most) = (capacities.clone().fold(f64::MAX, f64::min), capacities.fold(0.0, f64::max));

    let area = SVGBackend::new(file, (960, 600)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title(&rows[0]), ("sans-serif", 22))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(48)
        .right_y_label_area_size(190)
        .build_cartesian_2d((least..most * 1.001).log_scale(), 0.0..highest * 1.03)?;
    let unit = if rows[0].is_sized { "capacity, weight" } else { "capacity, entries" };
    chart.configure_mesh().x_desc(unit).y_desc("hit ratio, percent").light_line_style(WHITE).draw()?;
    for player in 0..results.players.len() {
        let points: Vec<_> = rows.iter().filter_map(|row| Some((row.capacity as f64, row.ratio(player)?))).collect();
        if points.is_empty() {
            continue;
        }
        let style = style(results.players[player].1, player);
        chart
            .draw_series(LineSeries::new(points, style))?
            .label(results.players[player].0)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    chart.configure_series_labels().position(SeriesLabelPosition::Coordinate(735, 0)).label_font(("sans-serif", 13)).draw()?;
    area.present()?;
    Ok(())
}

/// Brindle thick and red, the optimum black, peers strong, simulations faint.
fn style(role: Role, player: usize) -> ShapeStyle {
    match role {
        Role::Own => RED.stroke_width(4),
        Role::Optimum => BLACK.stroke_width(2),
        Role::Peer => Palette99::pick(player).stroke_width(2),
        Role::Simulated => Palette99::pick(player).mix(0.45).stroke_width(1),
    }
}
