// What has become of a schema, as graphql-js sees it: one line of JSON with the changes that break clients, and with what
// is deprecated and why. Told on the command line are the file that was published, and standard input is what is served.
import { readFileSync } from "node:fs";
import { buildSchema, findBreakingChanges, findDangerousChanges, isEnumType, isInputObjectType, isInterfaceType, isObjectType } from "graphql";

const published = buildSchema(readFileSync(process.argv[2], "utf8"));
const served = buildSchema(readFileSync(0, "utf8"));

// Another default changes what an old document means. What else is called dangerous is an addition.
const breaks = [
    ...findBreakingChanges(published, served),
    ...findDangerousChanges(published, served).filter(({ type }) => type === "ARG_DEFAULT_VALUE_CHANGE"),
];

function* deprecations(schema) {
    for (const type of Object.values(schema.getTypeMap())) {
        const hasFields = isObjectType(type) || isInterfaceType(type) || isInputObjectType(type);
        const members = hasFields ? Object.values(type.getFields()) : isEnumType(type) ? type.getValues() : [];
        for (const member of members) {
            const place = `${type.name}.${member.name}`;
            if (member.deprecationReason) yield { place, reason: member.deprecationReason };
            for (const argument of member.args ?? []) {
                if (argument.deprecationReason) yield { place: `${place}(${argument.name}:)`, reason: argument.deprecationReason };
            }
        }
    }
}

console.log(JSON.stringify({ breaks: breaks.map(({ description }) => description), deprecations: [...deprecations(served)] }));
