// Orders from Node, over gRPC. The environment says where the gateway is (GATEWAY, host:port), who orders
// (CUSTOMER) and what shows it (TOKEN).

import { env } from "node:process";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { order } from "./order";

const transport = createGrpcTransport({ baseUrl: `http://${env.GATEWAY}` });
await order(transport, { id: env.CUSTOMER!, token: env.TOKEN! }, console.log);
process.exit(0);
