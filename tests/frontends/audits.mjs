// Audits a server with the suite of graphql-http, and prints what came of each audit as JSON.
//
//     node audits.mjs URL AUTHORIZATION

import { serverAudits } from 'graphql-http'

const [url, authorization] = process.argv.slice(2)
const fetchFn = (to, init = {}) => fetch(to, { ...init, headers: { ...init.headers, authorization } })
const results = await Promise.all(serverAudits({ url, fetchFn }).map(({ fn }) => fn()))
console.log(JSON.stringify(results.map(({ name, status, reason }) => ({ name, status, reason }))))
