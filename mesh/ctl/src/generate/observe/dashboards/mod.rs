//! Dashboards for Grafana. Every panel says what it shows and, where there is one, what is normal.
//!
//! A query may use the variable `$service` where its dashboard has one, and Grafana's
//! `$__rate_interval`. One that would find nothing while nothing has happened says 0 instead.

mod checkout;
mod database;
mod mesh;
mod messaging;
mod overview;
mod service;

use serde::Serialize;

const COLUMNS: u32 = 24;
const HEIGHT: u32 = 8;
/// The layout of Grafana 10 and later.
const SCHEMA: u32 = 39;
const DATASOURCE: &str = "${datasource}";

/// One dashboard, as Grafana imports it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dashboard {
    /// Its name in addresses and files.
    pub uid: &'static str,
    /// Its name for people.
    pub title: &'static str,
    tags: [&'static str; 1],
    editable: bool,
    schema_version: u32,
    refresh: &'static str,
    time: Time,
    templating: Templating,
    /// What it shows, from left to right and top to bottom.
    pub panels: Vec<Panel>,
}

/// One picture.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Panel {
    id: usize,
    #[serde(rename = "type")]
    kind: Kind,
    /// What it shows.
    pub title: &'static str,
    description: &'static str,
    datasource: Datasource,
    grid_pos: Place,
    field_config: FieldConfig,
    /// What is asked for it.
    pub targets: Vec<Target>,
}

/// One query of a panel.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    ref_id: String,
    datasource: Datasource,
    /// PromQL, with Grafana's variables.
    pub expr: String,
    legend_format: &'static str,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    TimeSeries,
    Stat,
}

#[derive(Clone, Debug, Serialize)]
struct Time {
    from: &'static str,
    to: &'static str,
}

#[derive(Clone, Debug, Serialize)]
struct Templating {
    list: Vec<Variable>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Variable {
    name: &'static str,
    label: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    query: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    datasource: Option<Datasource>,
    refresh: u32,
    sort: u32,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Datasource {
    #[serde(rename = "type")]
    kind: &'static str,
    uid: &'static str,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Place {
    x: u32,
    y: u32,
    w: u32,
    h: u32,
}

#[derive(Clone, Debug, Serialize)]
struct FieldConfig {
    defaults: Defaults,
    overrides: [(); 0],
}

#[derive(Clone, Debug, Serialize)]
struct Defaults {
    unit: Unit,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<u32>,
}

/// What numbers mean, in Grafana's words.
#[derive(Clone, Copy, Debug, Serialize)]
enum Unit {
    #[serde(rename = "short")]
    Count,
    #[serde(rename = "reqps")]
    PerSecond,
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "percentunit")]
    Share,
}

impl Unit {
    /// Where its axis begins. What is left of a budget can be less than nothing.
    fn least(self) -> Option<u32> {
        (!matches!(self, Unit::Share)).then_some(0)
    }
}

/// A panel before it has its place.
struct Sketch {
    kind: Kind,
    title: &'static str,
    description: &'static str,
    unit: Unit,
    width: u32,
    queries: &'static [(&'static str, &'static str)],
}

impl Sketch {
    /// Lines over half of the width; `queries` are expressions with their legends.
    const fn lines(
        title: &'static str,
        description: &'static str,
        unit: Unit,
        queries: &'static [(&'static str, &'static str)],
    ) -> Sketch {
        Sketch { kind: Kind::TimeSeries, title, description, unit, width: COLUMNS / 2, queries }
    }

    /// Large numbers over a quarter of the width.
    const fn numbers(
        title: &'static str,
        description: &'static str,
        unit: Unit,
        queries: &'static [(&'static str, &'static str)],
    ) -> Sketch {
        Sketch { kind: Kind::Stat, title, description, unit, width: COLUMNS / 4, queries }
    }
}

/// Every dashboard.
pub fn dashboards() -> Vec<Dashboard> {
    vec![
        checkout::board(),
        database::board(),
        mesh::board(),
        messaging::board(),
        overview::board(),
        service::board(),
    ]
}

fn dashboard(
    uid: &'static str,
    title: &'static str,
    of_one_service: bool,
    sketches: &[Sketch],
) -> Dashboard {
    let mut variables = vec![Variable {
        name: "datasource",
        label: "Prometheus",
        kind: "datasource",
        query: "prometheus",
        datasource: None,
        refresh: 1,
        sort: 0,
    }];
    if of_one_service {
        variables.push(Variable {
            name: "service",
            label: "Service",
            kind: "query",
            query: "label_values(up, job)",
            datasource: Some(datasource()),
            refresh: 2,
            sort: 1,
        });
    }
    Dashboard {
        uid,
        title,
        tags: ["shopmesh"],
        editable: false,
        schema_version: SCHEMA,
        refresh: "10s",
        time: Time { from: "now-1h", to: "now" },
        templating: Templating { list: variables },
        panels: panels(sketches),
    }
}

fn panels(sketches: &[Sketch]) -> Vec<Panel> {
    let (mut x, mut y) = (0, 0);
    let place = |sketch: &Sketch, x: &mut u32, y: &mut u32| {
        if *x + sketch.width > COLUMNS {
            (*x, *y) = (0, *y + HEIGHT);
        }
        let place = Place { x: *x, y: *y, w: sketch.width, h: HEIGHT };
        *x += sketch.width;
        place
    };
    let panel = |(index, sketch): (usize, &Sketch)| Panel {
        id: index + 1,
        kind: sketch.kind,
        title: sketch.title,
        description: sketch.description,
        datasource: datasource(),
        grid_pos: place(sketch, &mut x, &mut y),
        field_config: FieldConfig {
            defaults: Defaults { unit: sketch.unit, min: sketch.unit.least() },
            overrides: [],
        },
        targets: sketch.queries.iter().zip('A'..).map(target).collect(),
    };
    sketches.iter().enumerate().map(panel).collect()
}

fn target((query, letter): (&(&'static str, &'static str), char)) -> Target {
    let (expr, legend_format) = *query;
    let ref_id = letter.to_string();
    Target { ref_id, datasource: datasource(), expr: expr.to_owned(), legend_format }
}

fn datasource() -> Datasource {
    Datasource { kind: "prometheus", uid: DATASOURCE }
}
