// What stands before a gateway where callers come over TLS: `tls.mjs KEY CERTIFICATE PORT` hands all on to that port.
// Prints "listening on PORT" and serves until its standard input ends.
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { createServer } from "node:tls";

const [key, cert, port] = process.argv.slice(2);
const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (caller) => {
  const inner = connect(Number(port), "127.0.0.1");
  const ends = [caller, inner];
  for (const end of ends) end.on("error", () => ends.forEach((one) => one.destroy()));
  caller.pipe(inner).pipe(caller);
});
server.on("tlsClientError", (error) => console.log(`refused: ${error.message}`));
server.listen(0, "127.0.0.1", () => console.log(`listening on ${server.address().port}`));
process.stdin.on("end", () => process.exit(0)).resume();
