// Orders from a browser, over gRPC-Web.

import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { order } from "./order";

const form = document.querySelector("form")!;
const told = document.querySelector("output")!;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const said = new FormData(form);
  const text = (name: string) => String(said.get(name)).trim();
  const transport = createGrpcWebTransport({ baseUrl: `http://${text("gateway")}` });
  const customer = { id: text("customer"), token: text("token") };
  told.textContent = "";
  try {
    await order(transport, customer, (line) => (told.textContent += `${line}\n`));
  } catch (error) {
    told.textContent += `${error}\n`;
  }
  told.dataset.done = "yes";
});
form.dataset.ready = "yes";
