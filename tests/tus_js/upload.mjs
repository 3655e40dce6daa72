// Uploads a file as a program with tus-js-client does.  node upload.mjs ENDPOINT TOKEN FILE
import { createReadStream, statSync } from "node:fs";
import { basename } from "node:path";
import * as tus from "tus-js-client";

const [endpoint, token, path] = process.argv.slice(2);
let retries = 0;

const upload = new tus.Upload(createReadStream(path), {
  endpoint,
  uploadSize: statSync(path).size,
  retryDelays: [0, 1000, 3000, 5000, 5000, 5000, 10000],
  headers: { Authorization: `Bearer ${token}` },
  metadata: { filename: basename(path), filetype: "video/mp4" },
  onShouldRetry(error, attempt, options) {
    retries += 1;
    const status = error.originalResponse ? error.originalResponse.getStatus() : 0;
    return status === 0 || status >= 500 || status === 409 || status === 423;
  },
  onError(error) {
    console.error(String(error));
    process.exit(1);
  },
  onSuccess() {
    console.log(JSON.stringify({ url: upload.url, retries }));
    process.exit(0);
  },
});
upload.start();
