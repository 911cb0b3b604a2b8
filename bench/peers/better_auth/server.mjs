// better-auth's `verifyApiKey`, which its documentation has for servers to call, behind Node's own HTTP server.
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { apiKey } from "@better-auth/api-key";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import Database from "better-sqlite3";

const inMemory = process.env.STORAGE === "memory";

const database = new Database(join(process.env.FOLDER, `better-auth-${process.env.STORAGE}.sqlite`));
database.pragma("journal_mode = WAL");
database.pragma("synchronous = NORMAL");

const kept = new Map();
const memory = {
  get: (key) => kept.get(key) ?? null,
  set: (key, value) => void kept.set(key, value),
  delete: (key) => void kept.delete(key),
};

const options = {
  baseURL: `http://127.0.0.1:${process.env.PORT}`,
  secret: "a secret of thirty-two characters or more, for a bench",
  database,
  emailAndPassword: { enabled: true },
  telemetry: { enabled: false },
  rateLimit: { enabled: false },
  logger: { level: "error" },
  ...(inMemory && { secondaryStorage: memory }),
  advanced: { backgroundTasks: { handler: (task) => void task } },
  plugins: [
    apiKey({
      rateLimit: { enabled: false },
      deferUpdates: true,
      ...(inMemory && { storage: "secondary-storage" }),
    }),
  ],
};

await (await getMigrations(options)).runMigrations();
const auth = betterAuth(options);
const { user } = await auth.api.signUpEmail({
  body: { name: "Wanda", email: "wanda@example.com", password: "a password for a bench" },
});
const { key } = await auth.api.createApiKey({ body: { name: "bench", userId: user.id } });
writeFileSync(process.env.KEY_FILE, key);

createServer((request, response) => {
  let body = "";
  request.setEncoding("utf8");
  request.on("data", (chunk) => (body += chunk));
  request.on("end", async () => {
    if (!body) return response.end();
    const verified = await auth.api.verifyApiKey({ body: JSON.parse(body) });
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(verified));
  });
}).listen(Number(process.env.PORT), "127.0.0.1");
