BEGIN TRANSACTION;
CREATE TABLE "account" (
    "id" CHAR(36) NOT NULL  PRIMARY KEY,
    "version" INT NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "updated_at" TIMESTAMP NOT NULL,
    "key" VARCHAR(64) NOT NULL UNIQUE,
    "name" VARCHAR(256) NOT NULL
, "verdict_lifetime_s" INT NOT NULL DEFAULT 0, "legacy_ends_at" TIMESTAMP, "lifetimes" JSON NOT NULL DEFAULT '{}', "max_member_tokens" INT, "max_tokens" INT, "rate_limits" JSON NOT NULL DEFAULT '[]', "revokes_reused" INT NOT NULL DEFAULT 0);
INSERT INTO "account" VALUES('01a219b7-7fff-7739-8646-43ae1659fb97',9,'2026-11-26 21:16:25.984043+00:00','2026-11-26 21:16:25.984064+00:00','main','Main',0,NULL,'{}',NULL,NULL,'[]',0);
CREATE TABLE "audit_access" (
    "id" CHAR(36) NOT NULL  PRIMARY KEY,
    "sequence" BIGINT NOT NULL,
    "action" VARCHAR(64) NOT NULL,
    "resource" VARCHAR(512) NOT NULL,
    "account_id" CHAR(36) NOT NULL REFERENCES "account" ("id") ON DELETE RESTRICT,
    "entry_id" CHAR(36) NOT NULL REFERENCES "audit_entry" ("id") ON DELETE RESTRICT
);
INSERT INTO "audit_access" VALUES('01a219b7-8010-7235-8d5f-116cf04d246e',1,'createAccount','acct','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-800f-7759-8e73-fad5bb0034c4');
INSERT INTO "audit_access" VALUES('01a219b7-8024-7107-a752-412384ec78fa',2,'createSession','member/01a219b7-8000-7510-80ff-04fe03f49729','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-8023-7385-b4be-a67b2b6d5d61');
INSERT INTO "audit_access" VALUES('01a219b7-8041-7706-8081-532662f10bea',3,'createKind','kind/proj','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-8040-72aa-a1b3-90f307a51464');
INSERT INTO "audit_access" VALUES('01a219b7-8053-7014-8e11-e72af0e1ae94',4,'createKind','kind/env','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-8052-71fc-ac9c-ee7fefe4a6fd');
INSERT INTO "audit_access" VALUES('01a219b7-8064-72b8-9dc1-c4d1866dfe26',5,'createKind','kind/flag','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-8063-762a-a3bd-b0eeffc8959e');
INSERT INTO "audit_access" VALUES('01a219b7-808f-74cd-8285-bda0610901a6',6,'createRole','role/flipper','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-808f-74cd-8285-bd9f0ca729c7');
INSERT INTO "audit_access" VALUES('01a219b7-80ae-7179-a395-5018d686b281',7,'createSession','member/01a219b7-8099-75f6-8fd2-13b78a0f838b','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-80ae-7179-a395-501718ba759f');
INSERT INTO "audit_access" VALUES('01a219b7-80c7-7270-86be-08168e6c37e8',8,'createSession','member/01a219b7-80b6-7153-b6ea-af8236692732','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-80c7-7270-86be-0815f4827ad8');
INSERT INTO "audit_access" VALUES('01a219b7-80d2-7665-9b41-336c2abc4979',9,'createSession','member/01a219b7-80cd-7086-8465-018be68b4f34','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-80d2-7665-9b41-336b324af891');
INSERT INTO "audit_access" VALUES('01a219b7-80da-70ab-a954-96d7de8108a5',10,'createAccessToken','member/01a219b7-8000-7510-80ff-04fe03f49729:token/01a219b7-80d7-700b-9a76-14c08b60a0f9','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-80da-70ab-a954-96d6e1b98667');
INSERT INTO "audit_access" VALUES('01a219b7-80e7-74f4-a79c-b87b0aeb4649',11,'createAccessToken','member/01a219b7-8099-75f6-8fd2-13b78a0f838b:token/01a219b7-80e3-76ae-ac81-dbbce0ba7560','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-80e6-7629-929f-c3df7be7dc17');
INSERT INTO "audit_access" VALUES('01a219b7-80f0-70b0-894c-8bb77e496935',12,'createAccessToken','member/01a219b7-80b6-7153-b6ea-af8236692732:token/01a219b7-80e9-7531-a94e-b1c730c1d043','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-80f0-70b0-894c-8bb638808143');
INSERT INTO "audit_access" VALUES('01a219b7-80fe-776d-aa54-f3dd791a9fd3',13,'createAccessToken','member/01a219b7-8000-7510-80ff-04fe03f49729:token/01a219b7-80f8-721d-96ce-50ccd980bd2d','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-80fd-7689-b941-34b5c26e39eb');
INSERT INTO "audit_access" VALUES('01a219b7-8103-7475-8fe0-34f4aabc0fe6',14,'createAccessToken','service-token/01a219b7-8101-744d-a51c-a676466ca692','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-8103-7475-8fe0-34f3f2f7f0d7');
INSERT INTO "audit_access" VALUES('01a219b7-8109-778a-9e54-88ab030fd289',15,'createAccessToken','member/01a219b7-8000-7510-80ff-04fe03f49729:token/01a219b7-8107-766c-9fd6-58f5c0f45c8c','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-8109-778a-9e54-88aae7f0fc64');
INSERT INTO "audit_access" VALUES('01a219b7-810e-773f-a4d9-3af796b37d87',16,'createAccessToken','member/01a219b7-80cd-7086-8465-018be68b4f34:token/01a219b7-810c-7306-8b41-4a1d62f6bde9','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-810e-773f-a4d9-3af647cbcf80');
INSERT INTO "audit_access" VALUES('01a219b7-8113-73d8-85e0-eeb065c9d06d',17,'createAccessToken','member/01a219b7-8000-7510-80ff-04fe03f49729:token/01a219b7-8110-7100-beb5-188f361db417','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-8112-717c-b339-f72e3e02ef32');
INSERT INTO "audit_access" VALUES('01a219b7-811f-70f5-99b9-f6f4bc2d8eff',18,'deleteAccessToken','member/01a219b7-8000-7510-80ff-04fe03f49729:token/01a219b7-8107-766c-9fd6-58f5c0f45c8c','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-811e-7570-be82-ea9f36b5e99d');
INSERT INTO "audit_access" VALUES('01a219b7-812d-7639-aa03-6566972cae45',19,'resetAccessToken','member/01a219b7-8000-7510-80ff-04fe03f49729:token/01a219b7-8110-7100-beb5-188f361db417','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-812c-72bf-872e-e9b2073b6e2c');
INSERT INTO "audit_access" VALUES('01a219b7-8138-73ef-960c-fcab6ff72a5e',20,'updateMemberState','member/01a219b7-80cd-7086-8465-018be68b4f34','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-8138-73ef-960c-fcaa1e8a89dc');
CREATE TABLE "audit_entry" (
    "id" CHAR(36) NOT NULL  PRIMARY KEY,
    "sequence" BIGINT NOT NULL,
    "at" TIMESTAMP NOT NULL,
    "request_id" VARCHAR(64) NOT NULL,
    "outcome" VARCHAR(16) NOT NULL  /* DONE: DONE\nREFUSED: REFUSED */,
    "actor_kind" VARCHAR(16) NOT NULL  /* SESSION: SESSION\nPERSONAL: PERSONAL\nSERVICE: SERVICE\nACCOUNT: ACCOUNT\nPASSWORD: PASSWORD\nLINK: LINK\nCOMMAND_LINE: COMMAND_LINE */,
    "member_id" CHAR(36),
    "member_name" VARCHAR(320),
    "token_id" CHAR(36),
    "token_name" VARCHAR(256),
    "token_ending" VARCHAR(4),
    "address" VARCHAR(64),
    "user_agent" VARCHAR(256),
    "target_kind" VARCHAR(64) NOT NULL,
    "target_id" CHAR(36) NOT NULL,
    "target_resource" VARCHAR(512) NOT NULL,
    "target_name" VARCHAR(320) NOT NULL,
    "target_member_id" CHAR(36),
    "accesses" JSON NOT NULL,
    "before" JSON,
    "after" JSON,
    "comment" VARCHAR(1024),
    "because" JSON NOT NULL,
    "idempotency_key" VARCHAR(128),
    "idempotency_actor" VARCHAR(64),
    "previous" VARCHAR(64) NOT NULL UNIQUE,
    "seal" VARCHAR(64) NOT NULL UNIQUE,
    "account_id" CHAR(36) NOT NULL REFERENCES "account" ("id") ON DELETE RESTRICT, "behalf_member_id" CHAR(36), "behalf_member_name" VARCHAR(320), "behalf_token_ending" VARCHAR(4), "behalf_token_id" CHAR(36), "behalf_token_name" VARCHAR(256), "behalf_verified" INT, "reported_at" TIMESTAMP,
    CONSTRAINT "uid_audit_entry_account_2ed2af" UNIQUE ("account_id", "sequence"),
    CONSTRAINT "uid_audit_entry_account_7f84fc" UNIQUE ("account_id", "idempotency_actor", "idempotency_key")
);
INSERT INTO "audit_entry" VALUES('01a219b7-800f-7759-8e73-fad5bb0034c4',1,'2026-11-26 21:16:25.999206+00:00','01a219b7-7fff-7739-8646-43ad025a7724','DONE','COMMAND_LINE',NULL,NULL,NULL,NULL,NULL,'192.0.2.1','tests','acct','01a219b7-7fff-7739-8646-43ae1659fb97','acct','Main',NULL,'[{"action":"createAccount","resource":"acct"}]',NULL,'{"key":"main","name":"Main","verdictLifetimeS":0,"tokenLifetimes":{},"maxTokens":null,"maxMemberTokens":null,"rateLimits":[],"revokesReused":false,"owner":"01a219b7-8000-7510-80ff-04fe03f49729","ownerEmail":"owner@main.example"}',NULL,'[{"action":"createAccount","statements":[]}]',NULL,NULL,'65c36d0ed7f080cb8fcf7fe32e37ece863e788edb69b7ff03b1af64ecfcbd05a','2b1be37bb281e9ae53e2cb0f42a36ff89374b5433a70c22e3dcabe36b631dd63','01a219b7-7fff-7739-8646-43ae1659fb97',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "audit_entry" VALUES('01a219b7-8023-7385-b4be-a67b2b6d5d61',2,'2026-11-26 21:16:26.019482+00:00','01a219b7-801f-74c2-979f-2998aa0463ae','DONE','PASSWORD','01a219b7-8000-7510-80ff-04fe03f49729','Owner',NULL,NULL,NULL,'192.0.2.1','tests','member','01a219b7-8021-77af-a7de-80407ff94ecf','member/01a219b7-8000-7510-80ff-04fe03f49729','…NH2v','01a219b7-8000-7510-80ff-04fe03f49729','[{"action":"createSession","resource":"member/01a219b7-8000-7510-80ff-04fe03f49729"}]',NULL,'{"kind":"SESSION","name":"","description":"","scopeKind":"MEMBER","scopeRole":null,"scopePolicy":null,"networks":[],"rateLimits":[],"ending":"NH2v","expiresAt":"2026-11-27T09:16:26.017147+00:00","revokedAt":null,"resetAt":null,"leakedAt":null,"responsible":null,"scopeRoles":[]}',NULL,'[{"action":"createSession","statements":[]}]',NULL,NULL,'2b1be37bb281e9ae53e2cb0f42a36ff89374b5433a70c22e3dcabe36b631dd63','8b5efb845d1825684abf305c6230be4f74fe87936b42463e92fbdd5042a60c3f','01a219b7-7fff-7739-8646-43ae1659fb97',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "audit_entry" VALUES('01a219b7-8040-72aa-a1b3-90f307a51464',3,'2026-11-26 21:16:26.048489+00:00','01a219b7-8028-718d-a877-a810c4cb4cd0','DONE','SESSION','01a219b7-8000-7510-80ff-04fe03f49729','Owner','01a219b7-8021-77af-a7de-80407ff94ecf','…NH2v','NH2v','192.0.2.1','tests','kind','01a219b7-8038-70e8-b42f-d080f8a8dd3b','kind/proj','Project',NULL,'[{"action":"createKind","resource":"kind/proj"}]',NULL,'{"key":"proj","name":"Project","description":"","parents":[],"properties":[],"taggable":true,"singleton":false,"actions":[{"key":"viewProject","mark":"READ","description":"","gate":true},{"key":"createProject","mark":"WRITE","description":"","gate":false},{"key":"updateTags","mark":"WRITE","description":"","gate":false}]}',NULL,'[{"action":"createKind","statements":[{"side":"OWNER","role":"owner","statement":{"effect":"allow","resources":["kind/*"],"actions":["viewKind","createKind","updateKind","deleteKind"]}}]}]',NULL,NULL,'8b5efb845d1825684abf305c6230be4f74fe87936b42463e92fbdd5042a60c3f','9c3613a28ab80b37b11f6095d82d2bb24d3f561bca4f7c6a0bab0366d5e160b2','01a219b7-7fff-7739-8646-43ae1659fb97',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "audit_entry" VALUES('01a219b7-8052-71fc-ac9c-ee7fefe4a6fd',4,'2026-11-26 21:16:26.066276+00:00','01a219b7-8028-718d-a877-a810c4cb4cd0','DONE','SESSION','01a219b7-8000-7510-80ff-04fe03f49729','Owner','01a219b7-8021-77af-a7de-80407ff94ecf','…NH2v','NH2v','192.0.2.1','tests','kind','01a219b7-804b-7410-bb05-6589d679b91c','kind/env','Environment',NULL,'[{"action":"createKind","resource":"kind/env"}]',NULL,'{"key":"env","name":"Environment","description":"","parents":["proj"],"properties":["critical"],"taggable":true,"singleton":false,"actions":[{"key":"updateName","mark":"WRITE","description":"","gate":false}]}',NULL,'[{"action":"createKind","statements":[{"side":"OWNER","role":"owner","statement":{"effect":"allow","resources":["kind/*"],"actions":["viewKind","createKind","updateKind","deleteKind"]}}]}]',NULL,NULL,'9c3613a28ab80b37b11f6095d82d2bb24d3f561bca4f7c6a0bab0366d5e160b2','9dccb8851b0bcf9632363ae5d86c95ba7e2d41e456f74a487001cb8ddac5c006','01a219b7-7fff-7739-8646-43ae1659fb97',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "audit_entry" VALUES('01a219b7-8063-762a-a3bd-b0eeffc8959e',5,'2026-11-26 21:16:26.083367+00:00','01a219b7-8028-718d-a877-a810c4cb4cd0','DONE','SESSION','01a219b7-8000-7510-80ff-04fe03f49729','Owner','01a219b7-8021-77af-a7de-80407ff94ecf','…NH2v','NH2v','192.0.2.1','tests','kind','01a219b7-805a-72d5-b1f5-4ce2793d804a','kind/flag','Feature flag',NULL,'[{"action":"createKind","resource":"kind/flag"}]',NULL,'{"key":"flag","name":"Feature flag","description":"","parents":["env"],"properties":[],"taggable":true,"singleton":false,"actions":[{"key":"viewFlag","mark":"READ","description":"","gate":false},{"key":"updateOn","mark":"WRITE","description":"","gate":false},{"key":"deleteFlag","mark":"MANAGE","description":"","gate":false}]}',NULL,'[{"action":"createKind","statements":[{"side":"OWNER","role":"owner","statement":{"effect":"allow","resources":["kind/*"],"actions":["viewKind","createKind","updateKind","deleteKind"]}}]}]',NULL,NULL,'9dccb8851b0bcf9632363ae5d86c95ba7e2d41e456f74a487001cb8ddac5c006','fb4241dcad3f39dc122fea5f2482c5bb84f789100bad205e1760717cb9671593','01a219b7-7fff-7739-8646-43ae1659fb97',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "audit_entry" VALUES('01a219b7-808f-74cd-8285-bd9f0ca729c7',6,'2026-11-26 21:16:26.126820+00:00','01a219b7-806f-77a5-8d2c-8e812c659d5f','DONE','SESSION','01a219b7-8000-7510-80ff-04fe03f49729','Owner','01a219b7-8021-77af-a7de-80407ff94ecf','…NH2v','NH2v','192.0.2.1','tests','role','01a219b7-8086-706f-a7ad-c64ec41d4830','role/flipper','Flipper',NULL,'[{"action":"createRole","resource":"role/flipper"}]',NULL,'{"key":"flipper","name":"Flipper","description":"","basePermissions":"no_access","policy":[{"effect":"allow","resources":["proj/web:env/*:flag/*"],"actions":["updateOn"]},{"effect":"allow","resources":["proj/web"],"actions":["viewProject"]},{"effect":"allow","resources":["member/*:token/*"],"actions":["createAccessToken"]}]}',NULL,'[{"action":"createRole","statements":[{"side":"OWNER","role":"owner","statement":{"effect":"allow","resources":["role/*"],"actions":["viewRole","viewRolePolicy","createRole","deleteRole","updateName","updateDescription","updatePolicy","updateBasePermissions"]}}]}]',NULL,NULL,'fb4241dcad3f39dc122fea5f2482c5bb84f789100bad205e1760717cb9671593','9ec78f4dbec950f11887b0d799ea536255e9683a0bc35946d24df47411171651','01a219b7-7fff-7739-8646-43ae1659fb97',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "audit_entry" VALUES('01a219b7-80ae-7179-a395-501718ba759f',7,'2026-11-26 21:16:26.158263+00:00','01a219b7-80a3-71e4-9b9b-64c5272489d6','DONE','PASSWORD','01a219b7-8099-75f6-8fd2-13b78a0f838b','writer 6cd4',NULL,NULL,NULL,'192.0.2.1','tests','member','01a219b7-80a8-7095-a3ab-f93121dc82bf','member/01a219b7-8099-75f6-8fd2-13b78a0f838b','…LBVl','01a219b7-8099-75f6-8fd2-13b78a0f838b','[{"action":"createSession","resource":"member/01a219b7-8099-75f6-8fd2-13b78a0f838b"}]',NULL,'{"kind":"SESSION","name":"","description":"","scopeKind":"MEMBER","scopeRole":null,"scopePolicy":null,"networks":[],"rateLimits":[],"ending":"LBVl","expiresAt":"2026-11-27T09:16:26.152889+00:00","revokedAt":null,"resetAt":null,"leakedAt":null,"responsible":null,"scopeRoles":[]}',NULL,'[{"action":"createSession","statements":[]}]',NULL,NULL,'9ec78f4dbec950f11887b0d799ea536255e9683a0bc35946d24df47411171651','1579cb0f04cc7bd5a1fb777a53ac40952e8662ffcf1b4d4e6efb74d56e61e12f','01a219b7-7fff-7739-8646-43ae1659fb97',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "audit_entry" VALUES('01a219b7-80c7-7270-86be-0815f4827ad8',8,'2026-11-26 21:16:26.183502+00:00','01a219b7-80c4-706f-a71a-8ff75d95300d','DONE','PASSWORD','01a219b7-80b6-7153-b6ea-af8236692732','no_access 691f',NULL,NULL,NULL,'192.0.2.1','tests','member','01a219b7-80c5-7337-b8b8-a11caf5c8255','member/01a219b7-80b6-7153-b6ea-af8236692732','…zy49','01a219b7-80b6-7153-b6ea-af8236692732','[{"action":"createSession","resource":"member/01a219b7-80b6-7153-b6ea-af8236692732"}]',NULL,'{"kind":"SESSION","name":"","description":"","scopeKind":"MEMBER","scopeRole":null,"scopePolicy":null,"networks":[],"rateLimits":[],"ending":"zy49","expiresAt":"2026-11-27T09:16:26.181949+00:00","revokedAt":null,"resetAt":null,"leakedAt":null,"responsible":null,"scopeRoles":[]}',NULL,'[{"action":"createSession","statements":[]}]',NULL,NULL,'1579cb0f04cc7bd5a1fb777a53ac40952e8662ffcf1b4d4e6efb74d56e61e12f','5feec017f1d221ba78359df8aa4a59561eefc6a45b812786ab80c1f399b06ec0','01a219b7-7fff-7739-8646-43ae1659fb97',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "audit_entry" VALUES('01a219b7-80d2-7665-9b41-336b324af891',9,'2026-11-26 21:16:26.194267+00:00','01a219b7-80cf-76d8-89ed-dd2988bc65d8','DONE','PASSWORD','01a219b7-80cd-7086-8465-018be68b4f34','writer 9700',NULL,NULL,NULL,'192.0.2.1','tests','member','01a219b7-80d1-778d-a8ec-6cadb2e62023','member/01a219b7-80cd-7086-8465-018be68b4f34','…JGJD','01a219b7-80cd-7086-8465-018be68b4f34','[{"action":"createSession","resource":"member/01a219b7-80cd-7086-8465-018be68b4f34"}]',NULL,'{"kind":"SESSION","name":"","description":"","scopeKind":"MEMBER","scopeRole":null,"scopePolicy":null,"networks":[],"rateLimits":[],"ending":"JGJD","expiresAt":"2026-11-27T09:16:26.193046+00:00","revokedAt":null,"resetAt":null,"leakedAt":null,"responsible":null,"scopeRoles":[]}',NULL,'[{"action":"createSession","statements":[]}]',NULL,NULL,'5feec017f1d221ba78359df8aa4a59561eefc6a45b812786ab80c1f399b06ec0','da2b7c5ec9c2a6512e57a2ada577d87db17f23fb19b7021bdb56876f68fe09f5','01a219b7-7fff-7739-8646-43ae1659fb97',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "audit_entry" VALUES('01a219b7-80da-70ab-a954-96d6e1b98667',10,'2026-11-26 21:16:26.201936+00:00','01a219b7-806f-77a5-8d2c-8e812c659d5f','DONE','SESSION','01a219b7-8000-7510-80ff-04fe03f49729','Owner','01a219b7-8021-77af-a7de-80407ff94ecf','…NH2v','NH2v','192.0.2.1','tests','token','01a219b7-80d7-700b-9a76-14c08b60a0f9','member/01a219b7-8000-7510-80ff-04fe03f49729:token/01a219b7-80d7-700b-9a76-14c08b60a0f9','reader','01a219b7-8000-7510-80ff-04fe03f49729','[{"action":"createAccessToken","resource":"member/01a219b7-8000-7510-80ff-04fe03f49729:token/01a219b7-80d7-700b-9a76-14c08b60a0f9"}]',NULL,'{"kind":"PERSONAL","name":"reader","description":"","scopeKind":"BUILT_IN","scopeRole":"reader","scopePolicy":null,"networks":[],"rateLimits":[],"ending":"b9f0","expiresAt":null,"revokedAt":null,"resetAt":null,"leakedAt":null,"responsible":null,"scopeRoles":[]}',NULL,'[{"action":"createAccessToken","statements":[{"side":"OWNER","role":"owner","statement":{"effect":"allow","resources":["member/*:token/*"],"actions":["viewAccessToken","viewAccessTokenUse","viewAccess","createAccessToken","deleteAccessToken","resetAccessToken","updateAccessTokenName","updateAccessTokenDescription","updateAccessTokenExpiry","updateAccessTokenRestrictions","updateAccessTokenPolicy"]}},{"side":"OWNER","role":"owner","statement":{"effect":"allow","resources":["member/01a219b7-8000-7510-80ff-04fe03f49729:token/*"],"actions":["viewAccessToken","viewAccessTokenUse","viewAccess","createAccessToken","deleteAccessToken","resetAccessToken","updateAccessTokenName","updateAccessTokenDescription","updateAccessTokenExpiry","updateAccessTokenRestrictions","updateAccessTokenPolicy"]}}]}]',NULL,NULL,'da2b7c5ec9c2a6512e57a2ada577d87db17f23fb19b7021bdb56876f68fe09f5','f1b4365f927e5ddd5837c6cb93de7312ee390171a705808aa1bd48f04d62866a','01a219b7-7fff-7739-8646-43ae1659fb97',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "audit_entry" VALUES('01a219b7-80e6-7629-929f-c3df7be7dc17',11,'2026-11-26 21:16:26.214540+00:00','01a219b7-80b2-7447-81eb-35dd034853d5','DONE','SESSION','01a219b7-8099-75f6-8fd2-13b78a0f838b','writer 6cd4','01a219b7-80a8-7095-a3ab-f93121dc82bf','…LBVl','LBVl','192.0.2.1','tests','token','01a219b7-80e3-76ae-ac81-dbbce0ba7560','member/01a219b7-8099-75f6-8fd2-13b78a0f838b:token/01a219b7-80e3-76ae-ac81-dbbce0ba7560','writer','01a219b7-8099-75f6-8fd2-13b78a0f838b','[{"action":"createAccessToken","resource":"member/01a219b7-8099-75f6-8fd2-13b78a0f838b:token/01a219b7-80e3-76ae-ac81-dbbce0ba7560"}]',NULL,'{"kind":"PERSONAL","name":"writer","description":"","scopeKind":"BUILT_IN","scopeRole":"writer","scopePolicy":null,"networks":[],"rateLimits":[],"ending":"EVfR","expiresAt":null,"revokedAt":null,"resetAt":null,"leakedAt":null,"responsible":null,"scopeRoles":[]}',NULL,'[{"action":"createAccessToken","statements":[{"side":"OWNER","role":"writer","statement":{"effect":"allow","resources":["member/01a219b7-8099-75f6-8fd2-13b78a0f838b:token/*"],"actions":["viewAccessToken","viewAccessTokenUse","viewAccess","createAccessToken","deleteAccessToken","resetAccessToken","updateAccessTokenName","updateAccessTokenDescription","updateAccessTokenExpiry","updateAccessTokenRestrictions","updateAccessTokenPolicy"]}}]}]',NULL,NULL,'f1b4365f927e5ddd5837c6cb93de7312ee390171a705808aa1bd48f04d62866a','d6b192410d8d6863cdcd8d61e7f00407698be3a336dfafe357766c6ab61310c7','01a219b7-7fff-7739-8646-43ae1659fb97',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "audit_entry" VALUES('01a219b7-80f0-70b0-894c-8bb638808143',12,'2026-11-26 21:16:26.223996+00:00','01a219b7-80ca-7124-a0a6-6d442cc0d525','DONE','SESSION','01a219b7-80b6-7153-b6ea-af8236692732','no_access 691f','01a219b7-80c5-7337-b8b8-a11caf5c8255','…zy49','zy49','192.0.2.1','tests','token','01a219b7-80e9-7531-a94e-b1c730c1d043','member/01a219b7-80b6-7153-b6ea-af8236692732:token/01a219b7-80e9-7531-a94e-b1c730c1d043','by a role','01a219b7-80b6-7153-b6ea-af8236692732','[{"action":"createAccessToken","resource":"member/01a219b7-80b6-7153-b6ea-af8236692732:token/01a219b7-80e9-7531-a94e-b1c730c1d043"}]',NULL,'{"kind":"PERSONAL","name":"by a role","description":"","scopeKind":"CUSTOM_ROLES","scopeRole":null,"scopePolicy":null,"networks":[],"rateLimits":[],"ending":"jPO6","expiresAt":null,"revokedAt":null,"resetAt":null,"leakedAt":null,"responsible":null,"scopeRoles":["flipper"]}',NULL,'[{"action":"createAccessToken","statements":[{"side":"OWNER","role":"flipper","statement":{"effect":"allow","resources":["member/*:token/*"],"actions":["createAccessToken"]}}]}]',NULL,NULL,'d6b192410d8d6863cdcd8d61e7f00407698be3a336dfafe357766c6ab61310c7','0f57f8baad82fc591ee7fe76fb17797e3bcf17f3727ff0d9c8922bc030bb5154','01a219b7-7fff-7739-8646-43ae1659fb97',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "audit_entry" VALUES('01a219b7-80fd-7689-b941-34b5c26e39eb',13,'2026-11-26 21:16:26.237608+00:00','01a219b7-806f-77a5-8d2c-8e812c659d5f','DONE','SESSION','01a219b7-8000-7510-80ff-04fe03f49729','Owner','01a219b7-8021-77af-a7de-80407ff94ecf','…NH2v','NH2v','192.0.2.1','tests','token','01a219b7-80f8-721d-96ce-50ccd980bd2d','member/01a219b7-8000-7510-80ff-04fe03f49729:token/01a219b7-80f8-721d-96ce-50ccd980bd2d','inline','01a219b7-8000-7510-80ff-04fe03f49729','[{"action":"createAccessToken","resource":"member/01a219b7-8000-7510-80ff-04fe03f49729:token/01a219b7-80f8-721d-96ce-50ccd980bd2d"}]',NULL,'{"kind":"PERSONAL","name":"inline","description":"","scopeKind":"INLINE","scopeRole":null,"scopePolicy":[{"effect":"allow","resources":["proj/*:env/*:flag/*"],"actions":["updateOn"]},{"effect":"allow","resources":["proj/*"],"actions":["viewProject"]}],"networks":["192.0.2.0/24"],"rateLimits":["1000/minute"],"ending":"fe3x","expiresAt":null,"revokedAt":null,"resetAt":null,"leakedAt":null,"responsible":null,"scopeRoles":[]}',NULL,'[{"action":"createAccessToken","statements":[{"side":"OWNER","role":"owner","statement":{"effect":"allow","resources":["member/*:token/*"],"actions":["viewAccessToken","viewAccessTokenUse","viewAccess","createAccessToken","deleteAccessToken","resetAccessToken","updateAccessTokenName","updateAccessTokenDescription","updateAccessTokenExpiry","updateAccessTokenRestrictions","updateAccessTokenPolicy"]}},{"side":"OWNER","role":"owner","statement":{"effect":"allow","resources":["member/01a219b7-8000-7510-80ff-04fe03f49729:token/*"],"actions":["viewAccessToken","viewAccessTokenUse","viewAccess","createAccessToken","deleteAccessToken","resetAccessToken","updateAccessTokenName","updateAccessTokenDescription","updateAccessTokenExpiry","updateAccessTokenRestrictions","updateAccessTokenPolicy"]}}]}]',NULL,NULL,'0f57f8baad82fc591ee7fe76fb17797e3bcf17f3727ff0d9c8922bc030bb5154','dc75991e99f738895b98b13fe59cf09a27d04a46f780fe38782439e72ba55e23','01a219b7-7fff-7739-8646-43ae1659fb97',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "audit_entry" VALUES('01a219b7-8103-7475-8fe0-34f3f2f7f0d7',14,'2026-11-26 21:16:26.243384+00:00','01a219b7-806f-77a5-8d2c-8e812c659d5f','DONE','SESSION','01a219b7-8000-7510-80ff-04fe03f49729','Owner','01a219b7-8021-77af-a7de-80407ff94ecf','…NH2v','NH2v','192.0.2.1','tests','service-token','01a219b7-8101-744d-a51c-a676466ca692','service-token/01a219b7-8101-744d-a51c-a676466ca692','service',NULL,'[{"action":"createAccessToken","resource":"service-token/01a219b7-8101-744d-a51c-a676466ca692"}]',NULL,'{"kind":"SERVICE","name":"service","description":"","scopeKind":"BUILT_IN","scopeRole":"writer","scopePolicy":null,"networks":[],"rateLimits":[],"ending":"wMZf","expiresAt":null,"revokedAt":null,"resetAt":null,"leakedAt":null,"responsible":"01a219b7-8000-7510-80ff-04fe03f49729","scopeRoles":[]}',NULL,'[{"action":"createAccessToken","statements":[{"side":"OWNER","role":"owner","statement":{"effect":"allow","resources":["service-token/*"],"actions":["viewAccessToken","viewAccessTokenUse","viewAccess","createAccessToken","deleteAccessToken","resetAccessToken","updateAccessTokenName","updateAccessTokenDescription","updateAccessTokenExpiry","updateAccessTokenRestrictions","updateAccessTokenResponsible"]}}]}]',NULL,NULL,'dc75991e99f738895b98b13fe59cf09a27d04a46f780fe38782439e72ba55e23','450177a77e644430d3a30710953fbc3bb55cc283f92dca60dadeb758a27b294d','01a219b7-7fff-7739-8646-43ae1659fb97',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "audit_entry" VALUES('01a219b7-8109-778a-9e54-88aae7f0fc64',15,'2026-11-26 21:16:26.248848+00:00','01a219b7-806f-77a5-8d2c-8e812c659d5f','DONE','SESSION','01a219b7-8000-7510-80ff-04fe03f49729','Owner','01a219b7-8021-77af-a7de-80407ff94ecf','…NH2v','NH2v','192.0.2.1','tests','token','01a219b7-8107-766c-9fd6-58f5c0f45c8c','member/01a219b7-8000-7510-80ff-04fe03f49729:token/01a219b7-8107-766c-9fd6-58f5c0f45c8c','revoked','01a219b7-8000-7510-80ff-04fe03f49729','[{"action":"createAccessToken","resource":"member/01a219b7-8000-7510-80ff-04fe03f49729:token/01a219b7-8107-766c-9fd6-58f5c0f45c8c"}]',NULL,'{"kind":"PERSONAL","name":"revoked","description":"","scopeKind":"BUILT_IN","scopeRole":"reader","scopePolicy":null,"networks":[],"rateLimits":[],"ending":"PMvm","expiresAt":null,"revokedAt":null,"resetAt":null,"leakedAt":null,"responsible":null,"scopeRoles":[]}',NULL,'[{"action":"createAccessToken","statements":[{"side":"OWNER","role":"owner","statement":{"effect":"allow","resources":["member/*:token/*"],"actions":["viewAccessToken","viewAccessTokenUse","viewAccess","createAccessToken","deleteAccessToken","resetAccessToken","updateAccessTokenName","updateAccessTokenDescription","updateAccessTokenExpiry","updateAccessTokenRestrictions","updateAccessTokenPolicy"]}},{"side":"OWNER","role":"owner","statement":{"effect":"allow","resources":["member/01a219b7-8000-7510-80ff-04fe03f49729:token/*"],"actions":["viewAccessToken","viewAccessTokenUse","viewAccess","createAccessToken","deleteAccessToken","resetAccessToken","updateAccessTokenName","updateAccessTokenDescription","updateAccessTokenExpiry","updateAccessTokenRestrictions","updateAccessTokenPolicy"]}}]}]',NULL,NULL,'450177a77e644430d3a30710953fbc3bb55cc283f92dca60dadeb758a27b294d','c12a25747a7e3fa840dde20f2b97a7fe2e00fc9834715fa837f9b1a359f15394','01a219b7-7fff-7739-8646-43ae1659fb97',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "audit_entry" VALUES('01a219b7-810e-773f-a4d9-3af647cbcf80',16,'2026-11-26 21:16:26.254064+00:00','01a219b7-80d5-71fa-92a6-f837952b4e03','DONE','SESSION','01a219b7-80cd-7086-8465-018be68b4f34','writer 9700','01a219b7-80d1-778d-a8ec-6cadb2e62023','…JGJD','JGJD','192.0.2.1','tests','token','01a219b7-810c-7306-8b41-4a1d62f6bde9','member/01a219b7-80cd-7086-8465-018be68b4f34:token/01a219b7-810c-7306-8b41-4a1d62f6bde9','suspended','01a219b7-80cd-7086-8465-018be68b4f34','[{"action":"createAccessToken","resource":"member/01a219b7-80cd-7086-8465-018be68b4f34:token/01a219b7-810c-7306-8b41-4a1d62f6bde9"}]',NULL,'{"kind":"PERSONAL","name":"suspended","description":"","scopeKind":"BUILT_IN","scopeRole":"reader","scopePolicy":null,"networks":[],"rateLimits":[],"ending":"HRmw","expiresAt":null,"revokedAt":null,"resetAt":null,"leakedAt":null,"responsible":null,"scopeRoles":[]}',NULL,'[{"action":"createAccessToken","statements":[{"side":"OWNER","role":"writer","statement":{"effect":"allow","resources":["member/01a219b7-80cd-7086-8465-018be68b4f34:token/*"],"actions":["viewAccessToken","viewAccessTokenUse","viewAccess","createAccessToken","deleteAccessToken","resetAccessToken","updateAccessTokenName","updateAccessTokenDescription","updateAccessTokenExpiry","updateAccessTokenRestrictions","updateAccessTokenPolicy"]}}]}]',NULL,NULL,'c12a25747a7e3fa840dde20f2b97a7fe2e00fc9834715fa837f9b1a359f15394','fad71d7a262eb0691fe5a5ffe4b139daa71485a64f54750da587453a7b64ad64','01a219b7-7fff-7739-8646-43ae1659fb97',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "audit_entry" VALUES('01a219b7-8112-717c-b339-f72e3e02ef32',17,'2026-11-26 21:16:26.258749+00:00','01a219b7-806f-77a5-8d2c-8e812c659d5f','DONE','SESSION','01a219b7-8000-7510-80ff-04fe03f49729','Owner','01a219b7-8021-77af-a7de-80407ff94ecf','…NH2v','NH2v','192.0.2.1','tests','token','01a219b7-8110-7100-beb5-188f361db417','member/01a219b7-8000-7510-80ff-04fe03f49729:token/01a219b7-8110-7100-beb5-188f361db417','reset','01a219b7-8000-7510-80ff-04fe03f49729','[{"action":"createAccessToken","resource":"member/01a219b7-8000-7510-80ff-04fe03f49729:token/01a219b7-8110-7100-beb5-188f361db417"}]',NULL,'{"kind":"PERSONAL","name":"reset","description":"","scopeKind":"BUILT_IN","scopeRole":"reader","scopePolicy":null,"networks":[],"rateLimits":[],"ending":"5wsf","expiresAt":null,"revokedAt":null,"resetAt":null,"leakedAt":null,"responsible":null,"scopeRoles":[]}',NULL,'[{"action":"createAccessToken","statements":[{"side":"OWNER","role":"owner","statement":{"effect":"allow","resources":["member/*:token/*"],"actions":["viewAccessToken","viewAccessTokenUse","viewAccess","createAccessToken","deleteAccessToken","resetAccessToken","updateAccessTokenName","updateAccessTokenDescription","updateAccessTokenExpiry","updateAccessTokenRestrictions","updateAccessTokenPolicy"]}},{"side":"OWNER","role":"owner","statement":{"effect":"allow","resources":["member/01a219b7-8000-7510-80ff-04fe03f49729:token/*"],"actions":["viewAccessToken","viewAccessTokenUse","viewAccess","createAccessToken","deleteAccessToken","resetAccessToken","updateAccessTokenName","updateAccessTokenDescription","updateAccessTokenExpiry","updateAccessTokenRestrictions","updateAccessTokenPolicy"]}}]}]',NULL,NULL,'fad71d7a262eb0691fe5a5ffe4b139daa71485a64f54750da587453a7b64ad64','60dd050dc94a4a6115a5fdbff8fd43babd8fb1ff740b3ff45843f5ed6dbf8b8c','01a219b7-7fff-7739-8646-43ae1659fb97',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "audit_entry" VALUES('01a219b7-811e-7570-be82-ea9f36b5e99d',18,'2026-11-26 21:16:26.270786+00:00','01a219b7-806f-77a5-8d2c-8e812c659d5f','DONE','SESSION','01a219b7-8000-7510-80ff-04fe03f49729','Owner','01a219b7-8021-77af-a7de-80407ff94ecf','…NH2v','NH2v','192.0.2.1','tests','token','01a219b7-8107-766c-9fd6-58f5c0f45c8c','member/01a219b7-8000-7510-80ff-04fe03f49729:token/01a219b7-8107-766c-9fd6-58f5c0f45c8c','revoked','01a219b7-8000-7510-80ff-04fe03f49729','[{"action":"deleteAccessToken","resource":"member/01a219b7-8000-7510-80ff-04fe03f49729:token/01a219b7-8107-766c-9fd6-58f5c0f45c8c"}]','{"kind":"PERSONAL","name":"revoked","description":"","scopeKind":"BUILT_IN","scopeRole":"reader","scopePolicy":null,"networks":[],"rateLimits":[],"ending":"PMvm","expiresAt":null,"revokedAt":null,"resetAt":null,"leakedAt":null,"responsible":null,"scopeRoles":[]}','{"kind":"PERSONAL","name":"revoked","description":"","scopeKind":"BUILT_IN","scopeRole":"reader","scopePolicy":null,"networks":[],"rateLimits":[],"ending":"PMvm","expiresAt":null,"revokedAt":"2026-11-26T21:16:26.266532+00:00","resetAt":null,"leakedAt":null,"responsible":null,"scopeRoles":[]}','No longer needed.','[{"action":"deleteAccessToken","statements":[{"side":"OWNER","role":"owner","statement":{"effect":"allow","resources":["member/*:token/*"],"actions":["viewAccessToken","viewAccessTokenUse","viewAccess","createAccessToken","deleteAccessToken","resetAccessToken","updateAccessTokenName","updateAccessTokenDescription","updateAccessTokenExpiry","updateAccessTokenRestrictions","updateAccessTokenPolicy"]}},{"side":"OWNER","role":"owner","statement":{"effect":"allow","resources":["member/01a219b7-8000-7510-80ff-04fe03f49729:token/*"],"actions":["viewAccessToken","viewAccessTokenUse","viewAccess","createAccessToken","deleteAccessToken","resetAccessToken","updateAccessTokenName","updateAccessTokenDescription","updateAccessTokenExpiry","updateAccessTokenRestrictions","updateAccessTokenPolicy"]}}]}]',NULL,NULL,'60dd050dc94a4a6115a5fdbff8fd43babd8fb1ff740b3ff45843f5ed6dbf8b8c','3f066666294b1006e74e6a288a07f40a66ab8241351446228471eddc4d1a436c','01a219b7-7fff-7739-8646-43ae1659fb97',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "audit_entry" VALUES('01a219b7-812c-72bf-872e-e9b2073b6e2c',19,'2026-11-26 21:16:26.284669+00:00','01a219b7-806f-77a5-8d2c-8e812c659d5f','DONE','SESSION','01a219b7-8000-7510-80ff-04fe03f49729','Owner','01a219b7-8021-77af-a7de-80407ff94ecf','…NH2v','NH2v','192.0.2.1','tests','token','01a219b7-8110-7100-beb5-188f361db417','member/01a219b7-8000-7510-80ff-04fe03f49729:token/01a219b7-8110-7100-beb5-188f361db417','reset','01a219b7-8000-7510-80ff-04fe03f49729','[{"action":"resetAccessToken","resource":"member/01a219b7-8000-7510-80ff-04fe03f49729:token/01a219b7-8110-7100-beb5-188f361db417"}]','{"kind":"PERSONAL","name":"reset","description":"","scopeKind":"BUILT_IN","scopeRole":"reader","scopePolicy":null,"networks":[],"rateLimits":[],"ending":"5wsf","expiresAt":null,"revokedAt":null,"resetAt":null,"leakedAt":null,"responsible":null,"scopeRoles":[]}','{"kind":"PERSONAL","name":"reset","description":"","scopeKind":"BUILT_IN","scopeRole":"reader","scopePolicy":null,"networks":[],"rateLimits":[],"ending":"gkL7","expiresAt":null,"revokedAt":null,"resetAt":"2026-11-26T21:16:26.282822+00:00","leakedAt":null,"responsible":null,"scopeRoles":[]}',NULL,'[{"action":"resetAccessToken","statements":[{"side":"OWNER","role":"owner","statement":{"effect":"allow","resources":["member/*:token/*"],"actions":["viewAccessToken","viewAccessTokenUse","viewAccess","createAccessToken","deleteAccessToken","resetAccessToken","updateAccessTokenName","updateAccessTokenDescription","updateAccessTokenExpiry","updateAccessTokenRestrictions","updateAccessTokenPolicy"]}},{"side":"OWNER","role":"owner","statement":{"effect":"allow","resources":["member/01a219b7-8000-7510-80ff-04fe03f49729:token/*"],"actions":["viewAccessToken","viewAccessTokenUse","viewAccess","createAccessToken","deleteAccessToken","resetAccessToken","updateAccessTokenName","updateAccessTokenDescription","updateAccessTokenExpiry","updateAccessTokenRestrictions","updateAccessTokenPolicy"]}}]}]',NULL,NULL,'3f066666294b1006e74e6a288a07f40a66ab8241351446228471eddc4d1a436c','065dcd17c05b87470455e4226d5b6ee67ed342cb2aebfcef48f5a1784a189a8f','01a219b7-7fff-7739-8646-43ae1659fb97',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "audit_entry" VALUES('01a219b7-8138-73ef-960c-fcaa1e8a89dc',20,'2026-11-26 21:16:26.296092+00:00','01a219b7-806f-77a5-8d2c-8e812c659d5f','DONE','SESSION','01a219b7-8000-7510-80ff-04fe03f49729','Owner','01a219b7-8021-77af-a7de-80407ff94ecf','…NH2v','NH2v','192.0.2.1','tests','member','01a219b7-80cd-7086-8465-018be68b4f34','member/01a219b7-80cd-7086-8465-018be68b4f34','writer 9700','01a219b7-80cd-7086-8465-018be68b4f34','[{"action":"updateMemberState","resource":"member/01a219b7-80cd-7086-8465-018be68b4f34"}]','{"email":"01a219b7-80cd-7086-8465-018af2969700@example.com","name":"writer 9700","state":"ACTIVE","baseRole":"writer","roleAttributes":{},"passwordChangedAt":null,"customRoles":[]}','{"email":"01a219b7-80cd-7086-8465-018af2969700@example.com","name":"writer 9700","state":"SUSPENDED","baseRole":"writer","roleAttributes":{},"passwordChangedAt":null,"customRoles":[]}',NULL,'[{"action":"updateMemberState","statements":[{"side":"OWNER","role":"owner","statement":{"effect":"allow","resources":["member/*"],"actions":["viewMember","viewMemberEmail","viewAccess","createMember","deleteMember","updateMemberName","updateMemberState","updateRole","updateCustomRole","updateMemberRoleAttributes","viewSession","revokeSession","viewAuditLog","viewAuditChanges"]}}]}]',NULL,NULL,'065dcd17c05b87470455e4226d5b6ee67ed342cb2aebfcef48f5a1784a189a8f','9c9532d143612667715ebff2c2126271b3a3c3a5094554e3cf72b129ef0d5096','01a219b7-7fff-7739-8646-43ae1659fb97',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE "audit_head" (
    "id" CHAR(36) NOT NULL  PRIMARY KEY,
    "sequence" BIGINT NOT NULL,
    "seal" VARCHAR(64) NOT NULL,
    "account_id" CHAR(36) NOT NULL UNIQUE REFERENCES "account" ("id") ON DELETE RESTRICT
);
INSERT INTO "audit_head" VALUES('01a219b7-8000-7510-80ff-04ffaebdf0dc',20,'9c9532d143612667715ebff2c2126271b3a3c3a5094554e3cf72b129ef0d5096','01a219b7-7fff-7739-8646-43ae1659fb97');
CREATE TABLE "gate" (
    "id" CHAR(36) NOT NULL  PRIMARY KEY,
    "version" INT NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "updated_at" TIMESTAMP NOT NULL,
    "key" VARCHAR(64) NOT NULL,
    "name" VARCHAR(256) NOT NULL,
    "description" VARCHAR(1024) NOT NULL,
    "source" VARCHAR(16) NOT NULL  /* FORWARDED: FORWARDED\nORIGINAL: ORIGINAL\nPATH: PATH\nFIXED: FIXED */,
    "preflights" INT NOT NULL,
    "routes" JSON NOT NULL,
    "account_id" CHAR(36) NOT NULL REFERENCES "account" ("id") ON DELETE RESTRICT,
    CONSTRAINT "uid_gate_account_e63d00" UNIQUE ("account_id", "key")
);
CREATE TABLE "link" (
    "id" CHAR(36) NOT NULL  PRIMARY KEY,
    "version" INT NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "updated_at" TIMESTAMP NOT NULL,
    "inviter_token_id" CHAR(36),
    "digest" VARCHAR(64) NOT NULL UNIQUE,
    "key_id" VARCHAR(64) NOT NULL,
    "expires_at" TIMESTAMP NOT NULL,
    "account_id" CHAR(36) NOT NULL REFERENCES "account" ("id") ON DELETE RESTRICT,
    "inviter_id" CHAR(36) REFERENCES "member" ("id") ON DELETE RESTRICT,
    "member_id" CHAR(36) NOT NULL REFERENCES "member" ("id") ON DELETE CASCADE
);
INSERT INTO "link" VALUES('01a219b7-800e-7550-be52-7d44d995639f',1,'2026-11-26 21:16:25.997971+00:00','2026-11-26 21:16:25.997963+00:00',NULL,'b75671573ca9c21850a891625d879d547cf588463e82acd31e77b0d8d8426088','first','2026-12-03 21:16:25.997533+00:00','01a219b7-7fff-7739-8646-43ae1659fb97',NULL,'01a219b7-8000-7510-80ff-04fe03f49729');
CREATE TABLE "member" (
    "id" CHAR(36) NOT NULL  PRIMARY KEY,
    "version" INT NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "updated_at" TIMESTAMP NOT NULL,
    "email" VARCHAR(320) NOT NULL,
    "email_key" VARCHAR(320) NOT NULL,
    "name" VARCHAR(256) NOT NULL,
    "state" VARCHAR(16) NOT NULL  /* INVITED: INVITED\nACTIVE: ACTIVE\nSUSPENDED: SUSPENDED\nREMOVED: REMOVED */,
    "base_role" VARCHAR(16) NOT NULL  /* NO_ACCESS: no_access\nREADER: reader\nWRITER: writer\nADMIN: admin\nOWNER: owner */,
    "role_attributes" JSON NOT NULL,
    "password_hash" VARCHAR(256),
    "password_changed_at" TIMESTAMP,
    "account_id" CHAR(36) NOT NULL REFERENCES "account" ("id") ON DELETE RESTRICT
);
INSERT INTO "member" VALUES('01a219b7-8000-7510-80ff-04fe03f49729',1,'2026-11-26 21:16:25.984199+00:00','2026-11-26 21:16:25.984209+00:00','owner@main.example','owner@main.example','Owner','ACTIVE','owner','{}',NULL,NULL,'01a219b7-7fff-7739-8646-43ae1659fb97');
INSERT INTO "member" VALUES('01a219b7-8099-75f6-8fd2-13b78a0f838b',1,'2026-11-26 21:16:26.137420+00:00','2026-11-26 21:16:26.137454+00:00','01a219b7-8099-75f6-8fd2-13b65ec66cd4@example.com','01a219b7-8099-75f6-8fd2-13b65ec66cd4@example.com','writer 6cd4','ACTIVE','writer','{}',NULL,NULL,'01a219b7-7fff-7739-8646-43ae1659fb97');
INSERT INTO "member" VALUES('01a219b7-80b6-7153-b6ea-af8236692732',1,'2026-11-26 21:16:26.166534+00:00','2026-11-26 21:16:26.166550+00:00','01a219b7-80b6-7153-b6ea-af815d2d691f@example.com','01a219b7-80b6-7153-b6ea-af815d2d691f@example.com','no_access 691f','ACTIVE','no_access','{}',NULL,NULL,'01a219b7-7fff-7739-8646-43ae1659fb97');
INSERT INTO "member" VALUES('01a219b7-80cd-7086-8465-018be68b4f34',2,'2026-11-26 21:16:26.189752+00:00','2026-11-26 21:16:26.295511+00:00','01a219b7-80cd-7086-8465-018af2969700@example.com','01a219b7-80cd-7086-8465-018af2969700@example.com','writer 9700','SUSPENDED','writer','{}',NULL,NULL,'01a219b7-7fff-7739-8646-43ae1659fb97');
CREATE TABLE "member_role" (
    "id" CHAR(36) NOT NULL  PRIMARY KEY,
    "version" INT NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "updated_at" TIMESTAMP NOT NULL,
    "account_id" CHAR(36) NOT NULL REFERENCES "account" ("id") ON DELETE RESTRICT,
    "member_id" CHAR(36) NOT NULL REFERENCES "member" ("id") ON DELETE CASCADE,
    "role_id" CHAR(36) NOT NULL REFERENCES "role" ("id") ON DELETE RESTRICT,
    CONSTRAINT "uid_member_role_account_d0a38c" UNIQUE ("account_id", "member_id", "role_id")
);
INSERT INTO "member_role" VALUES('01a219b7-80be-7430-918d-c5aa0699435f',1,'2026-11-26 21:16:26.174582+00:00','2026-11-26 21:16:26.174571+00:00','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-80b6-7153-b6ea-af8236692732','01a219b7-8086-706f-a7ad-c64ec41d4830');
CREATE TABLE "resource_kind" (
    "id" CHAR(36) NOT NULL  PRIMARY KEY,
    "version" INT NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "updated_at" TIMESTAMP NOT NULL,
    "key" VARCHAR(64) NOT NULL,
    "name" VARCHAR(256) NOT NULL,
    "description" VARCHAR(1024) NOT NULL,
    "parents" JSON NOT NULL,
    "properties" JSON NOT NULL,
    "taggable" INT NOT NULL,
    "singleton" INT NOT NULL,
    "actions" JSON NOT NULL,
    "account_id" CHAR(36) NOT NULL REFERENCES "account" ("id") ON DELETE RESTRICT,
    CONSTRAINT "uid_resource_ki_account_ead662" UNIQUE ("account_id", "key")
);
INSERT INTO "resource_kind" VALUES('01a219b7-8038-70e8-b42f-d080f8a8dd3b',1,'2026-11-26 21:16:26.040895+00:00','2026-11-26 21:16:26.040915+00:00','proj','Project','','[]','[]',1,0,'[{"key":"viewProject","mark":"READ","description":"","gate":true},{"key":"createProject","mark":"WRITE","description":"","gate":false},{"key":"updateTags","mark":"WRITE","description":"","gate":false}]','01a219b7-7fff-7739-8646-43ae1659fb97');
INSERT INTO "resource_kind" VALUES('01a219b7-804b-7410-bb05-6589d679b91c',1,'2026-11-26 21:16:26.059522+00:00','2026-11-26 21:16:26.059540+00:00','env','Environment','','["proj"]','["critical"]',1,0,'[{"key":"updateName","mark":"WRITE","description":"","gate":false}]','01a219b7-7fff-7739-8646-43ae1659fb97');
INSERT INTO "resource_kind" VALUES('01a219b7-805a-72d5-b1f5-4ce2793d804a',1,'2026-11-26 21:16:26.074760+00:00','2026-11-26 21:16:26.074783+00:00','flag','Feature flag','','["env"]','[]',1,0,'[{"key":"viewFlag","mark":"READ","description":"","gate":false},{"key":"updateOn","mark":"WRITE","description":"","gate":false},{"key":"deleteFlag","mark":"MANAGE","description":"","gate":false}]','01a219b7-7fff-7739-8646-43ae1659fb97');
CREATE TABLE "role" (
    "id" CHAR(36) NOT NULL  PRIMARY KEY,
    "version" INT NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "updated_at" TIMESTAMP NOT NULL,
    "key" VARCHAR(64) NOT NULL,
    "name" VARCHAR(256) NOT NULL,
    "description" VARCHAR(1024) NOT NULL,
    "base_permissions" VARCHAR(16) NOT NULL  /* NO_ACCESS: no_access\nREADER: reader */,
    "policy" JSON NOT NULL,
    "account_id" CHAR(36) NOT NULL REFERENCES "account" ("id") ON DELETE RESTRICT,
    CONSTRAINT "uid_role_account_06d5dc" UNIQUE ("account_id", "key")
);
INSERT INTO "role" VALUES('01a219b7-8086-706f-a7ad-c64ec41d4830',1,'2026-11-26 21:16:26.118824+00:00','2026-11-26 21:16:26.118867+00:00','flipper','Flipper','','no_access','[{"effect":"allow","resources":["proj/web:env/*:flag/*"],"actions":["updateOn"]},{"effect":"allow","resources":["proj/web"],"actions":["viewProject"]},{"effect":"allow","resources":["member/*:token/*"],"actions":["createAccessToken"]}]','01a219b7-7fff-7739-8646-43ae1659fb97');
CREATE TABLE "secret" (
    "id" CHAR(36) NOT NULL  PRIMARY KEY,
    "version" INT NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "updated_at" TIMESTAMP NOT NULL,
    "digest" VARCHAR(64) NOT NULL UNIQUE,
    "key_id" VARCHAR(64) NOT NULL,
    "expires_at" TIMESTAMP,
    "account_id" CHAR(36) NOT NULL REFERENCES "account" ("id") ON DELETE RESTRICT,
    "token_id" CHAR(36) NOT NULL REFERENCES "token" ("id") ON DELETE CASCADE
);
INSERT INTO "secret" VALUES('01a219b7-8023-7385-b4be-a67a6a601951',1,'2026-11-26 21:16:26.019277+00:00','2026-11-26 21:16:26.019309+00:00','5c64302ce4e9e297102ad8c1ef2a8f3877b794d09f38f50ae6b38efdb2919e0a','first',NULL,'01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-8021-77af-a7de-80407ff94ecf');
INSERT INTO "secret" VALUES('01a219b7-80ae-7179-a395-50161c3727a3',1,'2026-11-26 21:16:26.158005+00:00','2026-11-26 21:16:26.158058+00:00','5fdc08b16a06bab3b0bc89d93b3b30215a35d3938e0682d60aa2a539aa61ac67','first',NULL,'01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-80a8-7095-a3ab-f93121dc82bf');
INSERT INTO "secret" VALUES('01a219b7-80c7-7270-86be-08146a66cf2f',1,'2026-11-26 21:16:26.183346+00:00','2026-11-26 21:16:26.183372+00:00','877c28d532476a1b4b30eb65fcfdbc79f7902f97cbf28d39e8fc6c406ef8755e','first',NULL,'01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-80c5-7337-b8b8-a11caf5c8255');
INSERT INTO "secret" VALUES('01a219b7-80d2-7665-9b41-336a6249bd18',1,'2026-11-26 21:16:26.194132+00:00','2026-11-26 21:16:26.194151+00:00','ec74e35d8ca552013c6cae533f6b31c75186d22c7749a2c417e760cd1f994880','first',NULL,'01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-80d1-778d-a8ec-6cadb2e62023');
INSERT INTO "secret" VALUES('01a219b7-80d9-7682-81d3-f97aac3575cc',1,'2026-11-26 21:16:26.201736+00:00','2026-11-26 21:16:26.201756+00:00','e535ce3bb599a0a28062f48c7c5c1596ee80e3c7aed59bdd9cd29b312b16d361','first',NULL,'01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-80d7-700b-9a76-14c08b60a0f9');
INSERT INTO "secret" VALUES('01a219b7-80e6-7629-929f-c3deb2dd9fc5',1,'2026-11-26 21:16:26.214297+00:00','2026-11-26 21:16:26.214326+00:00','957cddacda5b4b2e7cfb28a0ca324464a3cad23c2671e47cae3e054124457e14','first',NULL,'01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-80e3-76ae-ac81-dbbce0ba7560');
INSERT INTO "secret" VALUES('01a219b7-80ef-73d5-8c9e-1762d373574b',1,'2026-11-26 21:16:26.223801+00:00','2026-11-26 21:16:26.223823+00:00','c649a100969af8973e1dec8a2fbe73ffa41d8932bc11943a8a97594457696bce','first',NULL,'01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-80e9-7531-a94e-b1c730c1d043');
INSERT INTO "secret" VALUES('01a219b7-80fd-7689-b941-34b455fa4bad',1,'2026-11-26 21:16:26.237411+00:00','2026-11-26 21:16:26.237447+00:00','341bf643ea1c49f6d5c75551a25dbd5fe48ad4b5c35cae8489d6c2ab88a253ff','first',NULL,'01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-80f8-721d-96ce-50ccd980bd2d');
INSERT INTO "secret" VALUES('01a219b7-8103-7475-8fe0-34f2cb75fb69',1,'2026-11-26 21:16:26.243214+00:00','2026-11-26 21:16:26.243238+00:00','05334506f4fd7bea0ef033fb51eb4e5b8e66303c641c98ac13fb06a59632a1d8','first',NULL,'01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-8101-744d-a51c-a676466ca692');
INSERT INTO "secret" VALUES('01a219b7-8108-703c-8e8f-5a69e1c19ce0',1,'2026-11-26 21:16:26.248685+00:00','2026-11-26 21:16:26.248705+00:00','0b3ba2cff45fee6d98ae65c50d2cff338c167f6a60ad42e7c13a487bbfdf6607','first',NULL,'01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-8107-766c-9fd6-58f5c0f45c8c');
INSERT INTO "secret" VALUES('01a219b7-810d-71ca-8fe1-831b71170ec6',1,'2026-11-26 21:16:26.253913+00:00','2026-11-26 21:16:26.253934+00:00','1c4d03a432806bf71f0b748fbbd0eb1cdb7dcb348a490dc02a557f7693bb446f','first',NULL,'01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-810c-7306-8b41-4a1d62f6bde9');
INSERT INTO "secret" VALUES('01a219b7-8112-717c-b339-f72de3bc4a85',1,'2026-11-26 21:16:26.258594+00:00','2026-11-26 21:16:26.258614+00:00','179eabaf04de9598baedcf587b6fb9256a0e2e558312a7da441589bf3c76e696','first','1970-01-01 00:00:00+00:00','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-8110-7100-beb5-188f361db417');
INSERT INTO "secret" VALUES('01a219b7-812a-76cf-9d22-efee91dd8944',1,'2026-11-26 21:16:26.282410+00:00','2026-11-26 21:16:26.282452+00:00','7fe2de3092d55e497d18d386c8e05497a4f18a1287cca6e1e126f9dabb442845','first',NULL,'01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-8110-7100-beb5-188f361db417');
CREATE TABLE "token" (
    "id" CHAR(36) NOT NULL  PRIMARY KEY,
    "version" INT NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "updated_at" TIMESTAMP NOT NULL,
    "kind" VARCHAR(16) NOT NULL  /* PERSONAL: PERSONAL\nSERVICE: SERVICE\nACCOUNT: ACCOUNT\nSESSION: SESSION */,
    "name" VARCHAR(256) NOT NULL,
    "description" VARCHAR(1024) NOT NULL,
    "scope_kind" VARCHAR(16) NOT NULL  /* BUILT_IN: BUILT_IN\nCUSTOM_ROLES: CUSTOM_ROLES\nINLINE: INLINE\nMEMBER: MEMBER */,
    "scope_role" VARCHAR(16)   /* NO_ACCESS: no_access\nREADER: reader\nWRITER: writer\nADMIN: admin\nOWNER: owner */,
    "scope_policy" JSON,
    "scope_attributes" JSON NOT NULL,
    "ceilings" JSON NOT NULL,
    "ending" VARCHAR(4) NOT NULL,
    "expires_at" TIMESTAMP,
    "revoked_at" TIMESTAMP,
    "reset_at" TIMESTAMP,
    "last_used_at" TIMESTAMP,
    "last_used_address" VARCHAR(64),
    "last_used_agent" VARCHAR(256),
    "account_id" CHAR(36) NOT NULL REFERENCES "account" ("id") ON DELETE RESTRICT,
    "creator_id" CHAR(36) REFERENCES "member" ("id") ON DELETE RESTRICT,
    "owner_id" CHAR(36) REFERENCES "member" ("id") ON DELETE RESTRICT,
    "parent_id" CHAR(36) REFERENCES "token" ("id") ON DELETE RESTRICT
, "leaked_at" TIMESTAMP, "networks" JSON NOT NULL DEFAULT '[]', "rate_limits" JSON NOT NULL DEFAULT '[]', "responsible_id" CHAR(36) REFERENCES "member" ("id") ON DELETE RESTRICT, "trial" JSON);
INSERT INTO "token" VALUES('01a219b7-8021-77af-a7de-80407ff94ecf',1,'2026-11-26 21:16:26.017314+00:00','2026-11-26 21:16:26.017343+00:00','SESSION','','','MEMBER',NULL,NULL,'{}','[]','NH2v','2026-11-27 09:16:26.017147+00:00',NULL,NULL,'2026-11-26 21:16:26.017162+00:00','192.0.2.1','tests','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-8000-7510-80ff-04fe03f49729','01a219b7-8000-7510-80ff-04fe03f49729',NULL,NULL,'[]','[]',NULL,NULL);
INSERT INTO "token" VALUES('01a219b7-80a8-7095-a3ab-f93121dc82bf',1,'2026-11-26 21:16:26.153034+00:00','2026-11-26 21:16:26.153056+00:00','SESSION','','','MEMBER',NULL,NULL,'{}','[]','LBVl','2026-11-27 09:16:26.152889+00:00',NULL,NULL,'2026-11-26 21:16:26.152905+00:00','192.0.2.1','tests','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-8099-75f6-8fd2-13b78a0f838b','01a219b7-8099-75f6-8fd2-13b78a0f838b',NULL,NULL,'[]','[]',NULL,NULL);
INSERT INTO "token" VALUES('01a219b7-80c5-7337-b8b8-a11caf5c8255',1,'2026-11-26 21:16:26.182071+00:00','2026-11-26 21:16:26.182091+00:00','SESSION','','','MEMBER',NULL,NULL,'{}','[]','zy49','2026-11-27 09:16:26.181949+00:00',NULL,NULL,'2026-11-26 21:16:26.181961+00:00','192.0.2.1','tests','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-80b6-7153-b6ea-af8236692732','01a219b7-80b6-7153-b6ea-af8236692732',NULL,NULL,'[]','[]',NULL,NULL);
INSERT INTO "token" VALUES('01a219b7-80d1-778d-a8ec-6cadb2e62023',1,'2026-11-26 21:16:26.193155+00:00','2026-11-26 21:16:26.193175+00:00','SESSION','','','MEMBER',NULL,NULL,'{}','[]','JGJD','2026-11-27 09:16:26.193046+00:00',NULL,NULL,'2026-11-26 21:16:26.193056+00:00','192.0.2.1','tests','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-80cd-7086-8465-018be68b4f34','01a219b7-80cd-7086-8465-018be68b4f34',NULL,NULL,'[]','[]',NULL,NULL);
INSERT INTO "token" VALUES('01a219b7-80d7-700b-9a76-14c08b60a0f9',1,'2026-11-26 21:16:26.199609+00:00','2026-11-26 21:16:26.199632+00:00','PERSONAL','reader','','BUILT_IN','reader',NULL,'{}','[]','b9f0',NULL,NULL,NULL,NULL,NULL,NULL,'01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-8000-7510-80ff-04fe03f49729','01a219b7-8000-7510-80ff-04fe03f49729',NULL,NULL,'[]','[]',NULL,NULL);
INSERT INTO "token" VALUES('01a219b7-80e3-76ae-ac81-dbbce0ba7560',1,'2026-11-26 21:16:26.211528+00:00','2026-11-26 21:16:26.211611+00:00','PERSONAL','writer','','BUILT_IN','writer',NULL,'{}','[]','EVfR',NULL,NULL,NULL,NULL,NULL,NULL,'01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-8099-75f6-8fd2-13b78a0f838b','01a219b7-8099-75f6-8fd2-13b78a0f838b',NULL,NULL,'[]','[]',NULL,NULL);
INSERT INTO "token" VALUES('01a219b7-80e9-7531-a94e-b1c730c1d043',1,'2026-11-26 21:16:26.217978+00:00','2026-11-26 21:16:26.218012+00:00','PERSONAL','by a role','','CUSTOM_ROLES',NULL,NULL,'{}','[]','jPO6',NULL,NULL,NULL,NULL,NULL,NULL,'01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-80b6-7153-b6ea-af8236692732','01a219b7-80b6-7153-b6ea-af8236692732',NULL,NULL,'[]','[]',NULL,NULL);
INSERT INTO "token" VALUES('01a219b7-80f8-721d-96ce-50ccd980bd2d',1,'2026-11-26 21:16:26.232695+00:00','2026-11-26 21:16:26.232734+00:00','PERSONAL','inline','','INLINE',NULL,'[{"effect":"allow","resources":["proj/*:env/*:flag/*"],"actions":["updateOn"]},{"effect":"allow","resources":["proj/*"],"actions":["viewProject"]}]','{}','[]','fe3x',NULL,NULL,NULL,NULL,NULL,NULL,'01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-8000-7510-80ff-04fe03f49729','01a219b7-8000-7510-80ff-04fe03f49729',NULL,NULL,'["192.0.2.0/24"]','["1000/minute"]',NULL,NULL);
INSERT INTO "token" VALUES('01a219b7-8101-744d-a51c-a676466ca692',1,'2026-11-26 21:16:26.241336+00:00','2026-11-26 21:16:26.241370+00:00','SERVICE','service','','BUILT_IN','writer',NULL,'{}','[{"policies":[{"name":"owner","statements":[{"effect":"allow","resources":["acct"],"actions":["viewAccount","updateAccountOwner","updateAccountName","updateVerdictLifetime","updateTokenLifetimes","updateTokenLimits","updateRateLimits","updateReuseResponse","verifyAccessToken","recordAuditEntry","viewAuditLog","viewAuditChanges"]},{"effect":"allow","resources":["member/*"],"actions":["viewMember","viewMemberEmail","viewAccess","createMember","deleteMember","updateMemberName","updateMemberState","updateRole","updateCustomRole","updateMemberRoleAttributes","viewSession","revokeSession","viewAuditLog","viewAuditChanges"]},{"effect":"allow","resources":["member/*:token/*"],"actions":["viewAccessToken","viewAccessTokenUse","viewAccess","createAccessToken","deleteAccessToken","resetAccessToken","updateAccessTokenName","updateAccessTokenDescription","updateAccessTokenExpiry","updateAccessTokenRestrictions","updateAccessTokenPolicy"]},{"effect":"allow","resources":["service-token/*"],"actions":["viewAccessToken","viewAccessTokenUse","viewAccess","createAccessToken","deleteAccessToken","resetAccessToken","updateAccessTokenName","updateAccessTokenDescription","updateAccessTokenExpiry","updateAccessTokenRestrictions","updateAccessTokenResponsible"]},{"effect":"allow","resources":["account-token/*"],"actions":["viewAccessToken","viewAccessTokenUse","viewAccess","deleteAccessToken","updateAccessTokenName","updateAccessTokenDescription","updateAccessTokenPolicy","updateAccessTokenExpiry","updateAccessTokenRestrictions","updateAccessTokenResponsible"]},{"effect":"allow","resources":["role/*"],"actions":["viewRole","viewRolePolicy","createRole","deleteRole","updateName","updateDescription","updatePolicy","updateBasePermissions"]},{"effect":"allow","resources":["kind/*"],"actions":["viewKind","createKind","updateKind","deleteKind"]},{"effect":"allow","resources":["gate/*"],"actions":["viewGate","createGate","updateGate","deleteGate"]},{"effect":"allow","resources":["proj/*:env/*"],"actions":["updateName"]},{"effect":"allow","resources":["proj/*:env/*:flag/*"],"actions":["viewFlag","updateOn","deleteFlag"]},{"effect":"allow","resources":["proj/*"],"actions":["viewProject","createProject","updateTags"]},{"effect":"allow","resources":["member/01a219b7-8000-7510-80ff-04fe03f49729"],"actions":["viewMemberEmail","viewAccess","updateMemberName","viewSession","revokeSession","viewAuditLog","viewAuditChanges"]},{"effect":"allow","resources":["member/01a219b7-8000-7510-80ff-04fe03f49729:token/*"],"actions":["viewAccessToken","viewAccessTokenUse","viewAccess","createAccessToken","deleteAccessToken","resetAccessToken","updateAccessTokenName","updateAccessTokenDescription","updateAccessTokenExpiry","updateAccessTokenRestrictions","updateAccessTokenPolicy"]}],"attributes":{}}]}]','wMZf',NULL,NULL,NULL,NULL,NULL,NULL,'01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-8000-7510-80ff-04fe03f49729',NULL,NULL,NULL,'[]','[]','01a219b7-8000-7510-80ff-04fe03f49729',NULL);
INSERT INTO "token" VALUES('01a219b7-8107-766c-9fd6-58f5c0f45c8c',2,'2026-11-26 21:16:26.247168+00:00','2026-11-26 21:16:26.270235+00:00','PERSONAL','revoked','','BUILT_IN','reader',NULL,'{}','[]','PMvm',NULL,'2026-11-26 21:16:26.266532+00:00',NULL,NULL,NULL,NULL,'01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-8000-7510-80ff-04fe03f49729','01a219b7-8000-7510-80ff-04fe03f49729',NULL,NULL,'[]','[]',NULL,NULL);
INSERT INTO "token" VALUES('01a219b7-810c-7306-8b41-4a1d62f6bde9',1,'2026-11-26 21:16:26.252218+00:00','2026-11-26 21:16:26.252251+00:00','PERSONAL','suspended','','BUILT_IN','reader',NULL,'{}','[]','HRmw',NULL,NULL,NULL,NULL,NULL,NULL,'01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-80cd-7086-8465-018be68b4f34','01a219b7-80cd-7086-8465-018be68b4f34',NULL,NULL,'[]','[]',NULL,NULL);
INSERT INTO "token" VALUES('01a219b7-8110-7100-beb5-188f361db417',2,'2026-11-26 21:16:26.257109+00:00','2026-11-26 21:16:26.284336+00:00','PERSONAL','reset','','BUILT_IN','reader',NULL,'{}','[]','gkL7',NULL,NULL,'2026-11-26 21:16:26.282822+00:00',NULL,NULL,NULL,'01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-8000-7510-80ff-04fe03f49729','01a219b7-8000-7510-80ff-04fe03f49729',NULL,NULL,'[]','[]',NULL,NULL);
CREATE TABLE "token_day" (
    "id" CHAR(36) NOT NULL  PRIMARY KEY,
    "version" INT NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "updated_at" TIMESTAMP NOT NULL,
    "day" DATE NOT NULL,
    "action" VARCHAR(64) NOT NULL,
    "allowed" BIGINT NOT NULL,
    "refused" BIGINT NOT NULL,
    "trial_refused" BIGINT NOT NULL,
    "account_id" CHAR(36) NOT NULL REFERENCES "account" ("id") ON DELETE RESTRICT,
    "token_id" CHAR(36) NOT NULL REFERENCES "token" ("id") ON DELETE CASCADE,
    CONSTRAINT "uid_token_day_account_35cea9" UNIQUE ("account_id", "token_id", "day", "action")
);
CREATE TABLE "token_origin" (
    "id" CHAR(36) NOT NULL  PRIMARY KEY,
    "version" INT NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "updated_at" TIMESTAMP NOT NULL,
    "address" VARCHAR(64) NOT NULL,
    "user_agent" VARCHAR(256) NOT NULL,
    "first_at" TIMESTAMP NOT NULL,
    "last_at" TIMESTAMP NOT NULL,
    "uses" BIGINT NOT NULL,
    "account_id" CHAR(36) NOT NULL REFERENCES "account" ("id") ON DELETE RESTRICT,
    "token_id" CHAR(36) NOT NULL REFERENCES "token" ("id") ON DELETE CASCADE,
    CONSTRAINT "uid_token_origi_account_893b35" UNIQUE ("account_id", "token_id", "address", "user_agent")
);
CREATE TABLE "token_role" (
    "id" CHAR(36) NOT NULL  PRIMARY KEY,
    "version" INT NOT NULL,
    "created_at" TIMESTAMP NOT NULL,
    "updated_at" TIMESTAMP NOT NULL,
    "account_id" CHAR(36) NOT NULL REFERENCES "account" ("id") ON DELETE RESTRICT,
    "role_id" CHAR(36) NOT NULL REFERENCES "role" ("id") ON DELETE RESTRICT,
    "token_id" CHAR(36) NOT NULL REFERENCES "token" ("id") ON DELETE CASCADE,
    CONSTRAINT "uid_token_role_account_721870" UNIQUE ("account_id", "token_id", "role_id")
);
INSERT INTO "token_role" VALUES('01a219b7-80ef-73d5-8c9e-176187908b4a',1,'2026-11-26 21:16:26.223615+00:00','2026-11-26 21:16:26.223608+00:00','01a219b7-7fff-7739-8646-43ae1659fb97','01a219b7-8086-706f-a7ad-c64ec41d4830','01a219b7-80e9-7531-a94e-b1c730c1d043');
CREATE TABLE "tortoise_migrations" (
    "id" INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    "app" VARCHAR(255) NOT NULL,
    "name" VARCHAR(255) NOT NULL,
    "applied_at" TIMESTAMP NOT NULL,
    CONSTRAINT "uid_tortoise_mi_app_3803a5" UNIQUE ("app", "name")
);
INSERT INTO "tortoise_migrations" VALUES(1,'models','0001_initial','2026-11-26 21:16:23.950854+00:00');
INSERT INTO "tortoise_migrations" VALUES(2,'models','0002_guards','2026-11-26 21:16:23.999914+00:00');
INSERT INTO "tortoise_migrations" VALUES(3,'models','0003_verification','2026-11-26 21:16:24.570628+00:00');
INSERT INTO "tortoise_migrations" VALUES(4,'models','0004_tokens_by_account','2026-11-26 21:16:24.613343+00:00');
INSERT INTO "tortoise_migrations" VALUES(5,'models','0005_notices','2026-11-26 21:16:24.646717+00:00');
INSERT INTO "tortoise_migrations" VALUES(6,'models','0006_life','2026-11-26 21:16:25.954345+00:00');
CREATE INDEX "idx_audit_entry_account_0ce7e6" ON "audit_entry" ("account_id", "member_id", "sequence");
CREATE INDEX "idx_audit_entry_account_030766" ON "audit_entry" ("account_id", "token_id", "sequence");
CREATE INDEX "idx_audit_entry_account_7f4d14" ON "audit_entry" ("account_id", "target_id", "sequence");
CREATE INDEX "idx_audit_entry_account_7bf830" ON "audit_entry" ("account_id", "target_member_id", "sequence");
CREATE INDEX "idx_audit_entry_account_e47742" ON "audit_entry" ("account_id", "at", "sequence");
CREATE INDEX "idx_audit_acces_account_2a9ab8" ON "audit_access" ("account_id", "action", "sequence");
CREATE INDEX "idx_audit_acces_account_97e9e3" ON "audit_access" ("account_id", "resource", "sequence");
CREATE INDEX "idx_audit_acces_entry_i_5f4753" ON "audit_access" ("entry_id");
CREATE INDEX "idx_member_account_02b234" ON "member" ("account_id", "email_key");
CREATE INDEX "idx_member_account_aa2130" ON "member" ("account_id", "name", "id");
CREATE INDEX "idx_link_account_9b76e0" ON "link" ("account_id", "member_id");
CREATE INDEX "idx_link_member__5794ec" ON "link" ("member_id");
CREATE INDEX "idx_link_inviter_b0c11d" ON "link" ("inviter_id");
CREATE INDEX "idx_role_account_a1ec59" ON "role" ("account_id", "name", "id");
CREATE INDEX "idx_member_role_account_8effd7" ON "member_role" ("account_id", "role_id");
CREATE INDEX "idx_member_role_member__5a205c" ON "member_role" ("member_id");
CREATE INDEX "idx_member_role_role_id_2dec50" ON "member_role" ("role_id");
CREATE INDEX "idx_token_account_f19c06" ON "token" ("account_id", "kind", "id");
CREATE INDEX "idx_token_account_714be3" ON "token" ("account_id", "owner_id", "id");
CREATE INDEX "idx_token_account_ec4238" ON "token" ("account_id", "creator_id", "id");
CREATE INDEX "idx_token_account_c0ffbd" ON "token" ("account_id", "name", "id");
CREATE INDEX "idx_token_account_b759dc" ON "token" ("account_id", "expires_at", "id");
CREATE INDEX "idx_token_account_2b6727" ON "token" ("account_id", "last_used_at", "id");
CREATE INDEX "idx_token_parent__9b90f5" ON "token" ("parent_id");
CREATE INDEX "idx_secret_account_53f451" ON "secret" ("account_id", "token_id");
CREATE INDEX "idx_secret_token_i_829831" ON "secret" ("token_id");
CREATE INDEX "idx_secret_key_id_eab270" ON "secret" ("key_id");
CREATE INDEX "idx_token_role_account_877129" ON "token_role" ("account_id", "role_id");
CREATE INDEX "idx_token_role_token_i_759146" ON "token_role" ("token_id");
CREATE INDEX "idx_token_role_role_id_04c09c" ON "token_role" ("role_id");
CREATE UNIQUE INDEX uid_member_owner ON member (account_id) WHERE base_role = 'owner';
CREATE UNIQUE INDEX uid_member_email ON member (account_id, email_key) WHERE state <> 'REMOVED';
CREATE TRIGGER audit_entry_no_update BEFORE UPDATE ON audit_entry BEGIN SELECT RAISE(ABORT, 'audit entries are kept as they are'); END;
CREATE TRIGGER audit_entry_no_delete BEFORE DELETE ON audit_entry BEGIN SELECT RAISE(ABORT, 'audit entries are kept as they are'); END;
CREATE TRIGGER audit_access_no_update BEFORE UPDATE ON audit_access BEGIN SELECT RAISE(ABORT, 'audit entries are kept as they are'); END;
CREATE TRIGGER audit_access_no_delete BEFORE DELETE ON audit_access BEGIN SELECT RAISE(ABORT, 'audit entries are kept as they are'); END;
CREATE INDEX "idx_audit_entry_account_b7100a" ON "audit_entry" ("account_id", "behalf_member_id", "sequence");
CREATE INDEX "idx_audit_entry_account_a405c7" ON "audit_entry" ("account_id", "behalf_token_id", "sequence");
CREATE INDEX "idx_token_account_dfb84b" ON "token" ("account_id", "id");
CREATE INDEX "idx_token_day_token_i_7a1162" ON "token_day" ("token_id");
CREATE INDEX "idx_token_origi_token_i_b6e966" ON "token_origin" ("token_id");
CREATE INDEX "idx_token_account_f3618b" ON "token" ("account_id", "responsible_id", "id");
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('tortoise_migrations',6);
COMMIT;
