// What graphql-eslint holds the schema and the console's operations to; lint.mjs runs it from the root of the checkout.

import { readFileSync } from 'node:fs'
import graphql from '@graphql-eslint/eslint-plugin'
import { buildSchema, isObjectType } from 'graphql'

const SCHEMA = 'schema/schema.graphql'
const DOCUMENTS = 'console/src/**/*.graphql'

const types = Object.values(buildSchema(readFileSync(SCHEMA, 'utf8')).getTypeMap()).filter(isObjectType)
const withoutNode = types.filter((type) => !type.getInterfaces().some(({ name }) => name === 'Node'))

const base = {
  languageOptions: {
    parser: graphql.parser,
    parserOptions: { graphQLConfig: { schema: SCHEMA, documents: DOCUMENTS } },
  },
  plugins: { '@graphql-eslint': graphql },
}

export default [
  {
    ...base,
    files: [SCHEMA],
    rules: {
      ...graphql.configs['flat/schema-recommended'].rules,
      ...graphql.configs['flat/schema-relay'].rules,
      '@graphql-eslint/require-description': [
        'error',
        {
          types: true,
          rootField: true,
          DirectiveDefinition: true,
          EnumValueDefinition: true,
          FieldDefinition: true,
          InputValueDefinition: true,
          // the specification's own directive, which has its description there
          ignoredSelectors: ['DirectiveDefinition[name.value=oneOf]'],
        },
      ],
      // a list that is never long is a list, not a connection; what is made for the occasion, as advice is, is no Node
      '@graphql-eslint/relay-edge-types': ['error', { listTypeCanWrapOnlyEdgeType: false, shouldImplementNode: false }],
      // `Decision.decisionId` alone: the word is the same where a decision is not the whole, as in `OnBehalfOfInput`
      '@graphql-eslint/no-typename-prefix': 'off',
      // what is no Node has no id: it is a value, a page or a payload
      '@graphql-eslint/strict-id-in-types': ['error', { exceptions: { types: withoutNode.map(({ name }) => name) } }],
    },
  },
  {
    ...base,
    files: [DOCUMENTS],
    rules: {
      ...graphql.configs['flat/operations-recommended'].rules,
      // the console keeps no cache by id: it asks for what it shows
      '@graphql-eslint/require-selections': 'off',
    },
  },
]
