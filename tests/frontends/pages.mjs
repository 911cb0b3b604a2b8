// Cuts every page out of short arrays as graphql-relay cuts them, and prints each with what was asked, as JSON.

import { connectionFromArray, offsetToCursor } from 'graphql-relay'

const to = (length) => [...Array(length).keys()]
const cursor = (place) => (place === null ? null : offsetToCursor(place))
const pages = []
for (const length of to(5))
  for (const first of [null, ...to(6)])
    for (const last of [null, ...to(6)])
      for (const after of [null, ...to(length)])
        for (const before of [null, ...to(length)]) {
          const asked = { first, last, after: cursor(after), before: cursor(before) }
          const { edges, pageInfo } = connectionFromArray(to(length), asked)
          const { hasNextPage, hasPreviousPage } = pageInfo
          const rows = edges.map(({ node }) => node)
          pages.push({ length, asked: { first, last, after, before }, rows, hasNextPage, hasPreviousPage })
        }
console.log(JSON.stringify(pages))
