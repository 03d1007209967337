//! `top`, drawn from what a real shop's `/metrics` say.

use mesh_testkit::eventually;
use meshctl::top::{Glance, Process, View, draw, look};
use ratatui::{Terminal, backend::TestBackend};
use shop::orders::v1::OrderState;

use crate::shop::{OF_AN_ORDER, SERVICES, Shop};

#[tokio::test(flavor = "multi_thread")]
async fn top_shows_what_the_metrics_of_a_running_shop_say_on_any_terminal() {
    let shop = Shop::open().await;
    let before = glance(&shop).await;
    for _ in 0..3 {
        let order = shop.simple_order().await;
        shop.comes_to(&order.order_id, OrderState::Confirmed).await;
        shop.rests(&order.order_id).await;
    }
    let view = eventually("the gauges to be swept", async || {
        let view = View::between(&before, &glance(&shop).await);
        let orders = view.services.iter().find(|row| row.service == "orders").unwrap();
        let idle = orders.relay_lag == Some(0.0) && orders.consumer_lag == Some(0.0);
        (idle && orders.dead_letters.is_some() && !view.sagas.is_empty()).then_some(view)
    })
    .await;

    let row = |service: &str| view.services.iter().find(|row| row.service == service).unwrap();
    for service in OF_AN_ORDER {
        let row = row(service);
        assert!(row.ready && row.up_seconds.is_some(), "{row:?}");
        assert!(row.rss_mib.unwrap() > 1.0 && row.cpu_percent.is_some(), "{row:?}");
        assert!(row.calls_per_second.unwrap() > 0.0, "{row:?}");
        assert!(row.p50_ms.unwrap() <= row.p99_ms.unwrap(), "{row:?}");
    }
    assert!(row("orders").made_per_second.unwrap() > row("catalog").made_per_second.unwrap_or(0.0));
    assert_eq!(row("orders").dead_letters, Some(0.0));
    let sagas = &view.sagas[0];
    assert_eq!((sagas.service.as_str(), sagas.parked), ("orders", 0.0));
    assert!(sagas.steps_per_second > 0.0, "{sagas:?}");

    fits_any_terminal(&view);
    // A process that is gone is seen as that.
    shop.platform.service("catalog").down().await;
    let now = View::between(&before, &glance(&shop).await);
    let catalog = now.services.iter().find(|row| row.service == "catalog").unwrap();
    assert!(!catalog.ready && catalog.calls_per_second.is_none(), "{catalog:?}");
    shop.platform.service("catalog").up();
    shop.platform.ready().await;
    shop.platform.shutdown().await;
}

fn fits_any_terminal(view: &View) {
    // Wide: everything is there, in columns.
    let wide = drawn(view, 160, 20);
    let lines: Vec<&str> = wide.lines().collect();
    assert!(lines[0].contains("7 processes") && lines[0].contains("q ends it"), "{wide}");
    for title in ["service", "cpu %", "calls/s", "p99 ms", "relay", "dead"] {
        assert!(lines[2].contains(title), "no {title} in\n{wide}");
    }
    for service in SERVICES {
        assert!(
            lines.iter().any(|line| line.starts_with(service) && line.contains("ready")),
            "{wide}"
        );
    }
    assert!(wide.contains("sagas of") && wide.contains("steps/s"), "{wide}");
    // Narrow: what matters least is left out, and what is left is whole.
    let narrow = drawn(view, 44, 20);
    let heading = narrow.lines().nth(2).unwrap();
    assert!(heading.contains("calls/s") && !heading.contains("made/s"), "{narrow}");
    assert!(narrow.lines().any(|line| line.starts_with("inventory  ready")), "{narrow}");
    // Tiny, and before anything is known: no panic.
    for (width, height) in [(1, 1), (0, 0), (10, 3), (300, 100)] {
        drawn(view, width, height);
    }
    let mut terminal = Terminal::new(TestBackend::new(40, 5)).unwrap();
    terminal.draw(|frame| draw(frame, None, "q ends it")).unwrap();
    assert!(terminal.backend().to_string().contains("looking"));
}

async fn glance(shop: &Shop) -> Glance {
    let processes = shop.platform.services().iter().map(|service| Process {
        name: service.name().to_owned(),
        replica: service.number() as usize,
        pid: service.pid().unwrap_or_default(),
        admin: Some(service.admin()),
    });
    look(processes.collect()).await
}

/// What a terminal of this size shows.
fn drawn(view: &View, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, Some(view), "q ends it")).unwrap();
    let buffer = terminal.backend().buffer();
    let rows = (0..height).map(|y| {
        let row: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
        row.trim_end().to_owned() + "\n"
    });
    rows.collect()
}
