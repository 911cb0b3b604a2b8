// Holds the schema and the console's operations against eslint.config.js, and the schema against the last release's.
// Prints what was linted, what was found, and the changes that break who asked the last release, as JSON.
//
//     node lint.mjs ROOT

import { readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { diff } from '@graphql-inspector/core'
import { ESLint } from 'eslint'
import { buildSchema } from 'graphql'

const root = process.argv[2]
process.chdir(root)

const eslint = new ESLint({ cwd: root, overrideConfigFile: join(import.meta.dirname, 'eslint.config.js') })
const results = await eslint.lintFiles(['schema/schema.graphql', 'console/src/**/*.graphql'])
const found = results.flatMap(({ filePath, messages }) =>
  messages.map(({ ruleId, line, message }) => `${relative(root, filePath)}:${line}: ${ruleId}: ${message}`),
)

const read = (name) => readFileSync(join('schema', name), 'utf8')
const breaking = async (before, after) =>
  (await diff(buildSchema(before), buildSchema(after)))
    .filter(({ criticality }) => criticality.level === 'BREAKING')
    .map(({ path, message }) => ({ path, message }))
const released = read('released.graphql')

console.log(
  JSON.stringify({
    linted: results.map(({ filePath }) => relative(root, filePath)),
    found,
    breaking: await breaking(released, read('schema.graphql')),
    // what it says where something did break
    broken: await breaking(released, released.replace(/^ {2}sequence: Int!$/m, '  sequence: Int')),
  }),
)
