// How graphql-codegen makes TypeScript of our schemas and operations, below the folder in CODEGEN_OUT: as a dashboard
// would, with the hashes of its documents and no scalar left unknown.
function client(schema, documents) {
    return {
        preset: "client",
        schema,
        documents,
        presetConfig: { persistedDocuments: true, fragmentMasking: false },
        config: { strictScalars: true, scalars: { DateTime: "string", JSON: "unknown" } },
    };
}

export default {
    generates: {
        [`${process.env.CODEGEN_OUT}/tenant/`]: client("../../graphql/schema.graphql", "../../graphql/operations/*.graphql"),
        [`${process.env.CODEGEN_OUT}/platform/`]: client("../../graphql/platform.graphql", "../../graphql/operations/platform/*.graphql"),
    },
};
