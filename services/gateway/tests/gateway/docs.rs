//! The page that shows the contracts, in a real browser.

use mesh_testkit::Chromium;

use crate::support::{Gateway, MUG, Shop};

#[tokio::test]
async fn the_page_comes_from_the_gateway_alone() {
    let gateway = Gateway::before(&[]).await;

    let page = gateway.get("/docs").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy").to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    for loose in ["unsafe", "*", "http"] {
        assert!(!policy.contains(loose), "{policy}");
    }
    let page = page.text().await;
    for (file, kind) in [("/docs/docs.js", "text/javascript"), ("/docs/docs.css", "text/css")] {
        assert!(page.contains(&format!("\"{file}\"")), "{file} is not in the page");
        let file = gateway.get(file).await;
        assert!(file.header("content-type").starts_with(kind), "{file:?}");
        let text = file.text().await;
        assert!(!text.contains("http://") && !text.contains("https://"), "it asks somebody else");
        assert!(!text.contains("innerHTML"), "what it shows is text");
    }
    assert!(!page.contains("http://") && !page.contains("https://"), "it asks somebody else");
    assert_eq!(gateway.get("/docs/nothing.js").await.status, 404);
}

/// Sends the form of an operation that is open, and waits for the answer's end.
async fn send(browser: &mut Chromium, operation: &str, fields: &[(&str, &str)]) {
    let form = format!("document.querySelector('#{operation} form')");
    browser.wait(&form).await;
    for (name, value) in fields {
        browser.eval(&format!("void ({form}.elements['{name}'].value = '{value}')")).await;
    }
    browser.eval(&format!("{{ delete {form}.dataset.done; {form}.requestSubmit(); }}")).await;
    browser.wait(&format!("{form}.dataset.done")).await;
}

async fn shown(browser: &mut Chromium, operation: &str, part: &str) -> String {
    let script = format!("document.querySelector('#{operation} [data-part={part}]').textContent");
    browser.eval(&script).await.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn people_see_the_contracts_and_try_them() {
    let Some(mut browser) = Chromium::find().await else { return };
    let shop = Shop::open().await;
    let get = "CatalogService_GetProduct";

    browser.visit(&format!("http://{}/docs#{get}", shop.gateway.at)).await;
    browser.wait("document.querySelectorAll('#operations details').length > 20").await;
    assert_eq!(browser.eval("document.title").await, "Shopmesh API");
    browser.eval("void (document.getElementById('token').value = 'secret-token')").await;
    send(&mut browser, get, &[("sku", MUG)]).await;

    assert!(shown(&mut browser, get, "status").await.starts_with("200"));
    let body = shown(&mut browser, get, "body").await;
    assert!(body.contains(&format!("\"sku\": \"{MUG}\"")), "{body}");
    assert!(shown(&mut browser, get, "headers").await.contains("x-request-id: "));
    let command = shown(&mut browser, get, "command").await;
    assert!(command.starts_with("curl -X GET ") && command.contains(MUG), "{command}");
    assert!(command.contains("$TOKEN") && !command.contains("secret-token"), "{command}");
    send(&mut browser, get, &[("sku", "NOTHING")]).await;
    assert!(shown(&mut browser, get, "status").await.starts_with("404"));
    assert!(shown(&mut browser, get, "body").await.contains("PRODUCT_NOT_FOUND"));

    let clear = "CartsService_ClearCart";
    browser.eval(&format!("void (location.hash = '{clear}')")).await;
    send(&mut browser, clear, &[("customer_id", &crate::support::uuid())]).await;
    assert!(shown(&mut browser, clear, "status").await.starts_with("200"), "the sample is sent");

    let inject = "(() => { try { document.body.innerHTML = '<b onclick=alert()>'; return 'taken' } \
                  catch { return 'refused' } })()";
    assert_eq!(browser.eval(inject).await, "refused", "what is shown can only be text");
}

#[tokio::test]
async fn a_browser_calls_by_grpc_web() {
    let Some(mut browser) = Chromium::find().await else { return };
    let shop = Shop::open().await;

    browser.visit(&format!("http://{}/docs", shop.gateway.at)).await;
    browser.wait("document.querySelector('#operations details')").await;
    let script = format!(
        "(async () => {{
            const sku = new TextEncoder().encode('{MUG}');
            const frame = [0, 0, 0, 0, sku.length + 2, 0x0a, sku.length, ...sku];
            const answer = await fetch('/shop.catalog.v1.CatalogService/GetProduct', {{
                method: 'POST',
                headers: {{ 'content-type': 'application/grpc-web+proto' }},
                body: new Uint8Array(frame),
            }});
            return new TextDecoder().decode(await answer.arrayBuffer());
        }})()"
    );
    let answer = browser.eval(&script).await;
    let answer = answer.as_str().unwrap();
    assert!(answer.contains(MUG) && answer.contains("grpc-status: 0\r\n"), "{answer:?}");
}
