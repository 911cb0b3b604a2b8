// Runs a module of docs/frontends.md as a frontend's tools would: Relay's tags compiled, all bundled, then imported.
//
//     node run.mjs FOLDER MODULE

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { transformAsync } from '@babel/core'
import relay from 'babel-plugin-relay'
import { build } from 'esbuild'
import { WebSocket } from 'ws'

globalThis.WebSocket ??= WebSocket // a browser has it, and so has Node from 22 on

const [folder, name] = process.argv.slice(2)
const outfile = join(folder, 'bundled', `${name}.mjs`)
const tags = {
  name: 'relay',
  setup: ({ onLoad }) =>
    onLoad({ filter: /relay\.js$/ }, async ({ path }) => {
      const options = { filename: path, configFile: false, babelrc: false, plugins: [[relay, { eagerEsModules: true }]] }
      return { contents: (await transformAsync(await readFile(path, 'utf8'), options)).code }
    }),
}
await build({
  entryPoints: [join(folder, `${name}.js`)],
  outfile,
  bundle: true,
  format: 'esm',
  platform: 'node',
  mainFields: ['module', 'main'],
  define: { __DEV__: 'false' },
  logLevel: 'warning',
  plugins: [tags],
})
await import(pathToFileURL(outfile))
